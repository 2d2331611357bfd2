"""The numbers the benchmark's authors published, to stand beside ours. The data file names source and quirks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mmsb.paths import PACKAGE

BENCHMARKS = ("mm_safetybench", "mm_safetybench_hf")


@cache
def published() -> dict[str, Any]:
    """The data file: source, notes, the systems' names, and rates by preset, image mode and scenario, in percent."""
    data: dict[str, Any] = json.loads((PACKAGE / "report/published.json").read_text(encoding="utf-8"))
    return data


def published_asr(choices: Mapping[str, str]) -> dict[str, float]:
    """The published attack success rates (percent) of the system that a run evaluates, by scenario and "macro".

    Whether they may stand beside the run's own without a word is `mmsb.comparable`'s to say.

    Args:
        choices: the run's option of each config group.

    Returns:
        Empty where the run is of another dataset, or of a system or an image mode without published numbers.
    """
    if choices.get("dataset") not in BENCHMARKS:
        return {}
    rates: dict[str, float] = published()["asr"].get(choices.get("model"), {}).get(choices.get("image_mode"), {})
    return rates


def remark(choices: Mapping[str, str]) -> str:
    """What must be known of the published numbers of a system in an image mode; empty where there is nothing."""
    told: str = published()["remarks"].get(f"{choices.get('model')}/{choices.get('image_mode')}", "")
    return told


# Ours by their names in the source. It does not say which AdaShield it ran; ours are set beside it either way.
DEFENSES = {"none": "none", "ecso": "ecso", "echosafe": "echosafe"} | dict.fromkeys(
    ("adashield_static", "adashield_adaptive"), "adashield"
)


@cache
def published_defenses() -> dict[str, Any]:
    """The data file: source, notes, and rates by preset, defense and image mode, in percent."""
    data: dict[str, Any] = json.loads((PACKAGE / "report/published_defenses.json").read_text(encoding="utf-8"))
    return data


@dataclass(frozen=True, slots=True)
class Figure:
    """A published attack success rate in percent, or the range that reports of it span."""

    scope: str
    least: float
    most: float
    source: str

    @property
    def shown(self) -> str:
        """For a table."""
        return f"{self.least:g}" if self.least == self.most else f"{self.least:g} to {self.most:g}"


def published_defended(choices: Mapping[str, str]) -> list[Figure]:
    """What is published of a system behind a defense, the average ("macro") first; under other judges than ours.

    Args:
        choices: the run's option of each config group.

    Returns:
        Empty where the run is of other questions, behind several defenses, or nothing is published.
    """
    if choices.get("dataset") not in BENCHMARKS:
        return []
    data, name = published_defenses(), choices.get("defense", "none").strip("[]")
    model, mode = choices.get("model"), choices.get("image_mode")
    found = []
    if (rate := data["asr"].get(model, {}).get(DEFENSES.get(name, ""), {}).get(mode)) is not None:
        found.append(Figure("macro", rate, rate, data["source"]))
    scenarios = data["by_scenario"].get(model, {}).get(name, {}).get(mode, {})
    return found + [
        Figure(scope, least, most, data["by_scenario_source"]) for scope, (least, most) in scenarios.items()
    ]
