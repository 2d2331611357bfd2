"""Finished runs as they are compared: who they are, who judged them, and what differs between them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmsb.digest import digest
from mmsb.report.finished import Finished, finished_run, refuse_copies
from mmsb.run import flatten
from mmsb.scenario import official_scenarios

WHO = ("dataset", "model", "image_mode", "defense", "protocol", "judge")
DATA = ("dataset", "scenario", "image_mode")  # what is shown follows from these
ELSEWHERE = ("output_dir", "tracker", "trusted_packages", "scenario")  # tell nothing of what was measured


@dataclass(frozen=True)
class Compared:
    """A finished run, its place among those named, and its judge's name, told from others of that name."""

    number: int
    finished: Finished
    judge: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.finished.folder

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Its rows."""
        return list(self.finished.rows())

    @cached_property
    def answers(self) -> str:
        """A digest of its answers, whoever judged them."""
        # no verdicts: a run that was judged again is still of these answers
        return digest([[row["scenario"], row["question_id"], row["repeat"], row["response"]] for row in self.rows])

    @property
    def shown(self) -> str:
        """A digest of all that its questions showed."""
        return str(self.finished.values["record"]["dataset"]["digest"])

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """The options of its groups and its single settings, as far as they can matter."""
        values = self.finished.values
        # where results lie and who may load code differ between any two machines, and would bury what matters
        config = {key: value for key, value in values["config"].items() if key not in ELSEWHERE}
        # as defenses have them: a text that stands in a file is no part of the configuration
        made = flatten({"defense": values["record"].get("defense", {})})
        flat = {key: " ".join(str(value).split()) for key, value in (*flatten(config), *made) if key not in WHO}
        choices = {group: str(values["choices"][group]) for group in WHO if group in values["choices"]}
        return flat | choices | {"judge": self.judge}

    @cached_property
    def groups(self) -> Mapping[str, str]:
        """The group of each scenario, by name: of the benchmark's, and of those in its configuration."""
        configured = self.finished.values["config"].get("scenario") or {}
        own = {name: str(values["group"]) for name, values in configured.items() if isinstance(values, Mapping)}
        return {scenario.name: scenario.group for scenario in official_scenarios()} | own


def opened(folders: Sequence[Path]) -> list[Compared]:
    """The runs, numbered from 1.

    Raises:
        DataError: a folder holds no finished run, or a copy of another's.
    """
    finished = [finished_run(folder) for folder in folders]
    refuse_copies(finished)
    # by fingerprint, not by name: one judge at two settings is two judges
    prints = [json.dumps(run.values["record"]["judge"], sort_keys=True) for run in finished]
    names = {made: _judge(run) for made, run in zip(prints, finished, strict=True)}
    taken = Counter(names.values())
    told = {made: name if taken[name] == 1 else f"{name} ({digest(made)[:6]})" for made, name in names.items()}
    return [
        Compared(number, run, told[made]) for number, (run, made) in enumerate(zip(finished, prints, strict=True), 1)
    ]


def _judge(run: Finished) -> str:
    """The judge's name in its configuration; else its option."""
    configured = run.values["config"].get("judge")
    name = configured.get("name") if isinstance(configured, Mapping) else None
    return str(name or run.values["choices"].get("judge", "judge"))


def differing(runs: Sequence[Compared]) -> list[str]:
    """The settings that all runs have, beyond the groups' options, in which they are not all alike."""
    return [key for key in runs[0].settings if key not in WHO and _differs(key, runs)]


def changed_data(runs: Sequence[Compared]) -> list[Compared]:
    """The runs that showed something else than the first did by the very same settings."""

    def chosen(run: Compared) -> tuple[dict[str, Any], ...]:
        return tuple({key: run.finished.values[part].get(key) for key in DATA} for part in ("choices", "config"))

    return [run for run in runs if chosen(run) == chosen(runs[0]) and run.shown != runs[0].shown]


def _differs(key: str, runs: Sequence[Compared]) -> bool:
    """What only some have belongs to an option that the others did not choose."""
    return all(key in run.settings for run in runs) and len({run.settings[key] for run in runs}) > 1
