"""The runs that stand side by side in a report: which they are, what each is called, and which are alike in what."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pydantic

from mmsb.errors import DataError
from mmsb.metrics.declared import ASR, FALSE_REFUSALS, SCOPES
from mmsb.report.finished import Finished, finished_run, refuse_copies
from mmsb.results import FILE, LIVE
from mmsb.run import FILE as RUN

FACETS = ("dataset", "model", "image_mode", "defense", "judge")
MEASURED = ("dataset", "scenario", "image_mode", "model", "judge", "defense", "defense_text", "defense_placement")
OF_DEFENSE = ("defense", "defense_text", "defense_placement")
BETWEEN = " · "


def _several(value: object) -> object:
    """One folder is a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


Runs = Annotated[tuple[Path, ...], pydantic.BeforeValidator(_several)]
"""A setting: folders of finished runs, or of a sweep, which stands for all its runs."""


@dataclass(frozen=True)
class Column:
    """A run in a report.

    Attributes:
        run: the run, as it lies on disk.
        facets: its dataset, model, image mode, defense and judge, by name.
        label: what tells it from the others of the report.
        who: the same without image mode and dataset: the system that is measured.
    """

    run: Finished
    facets: Mapping[str, str]
    label: str
    who: str

    @property
    def rows(self) -> Path:
        """The file of its rows; while the run goes on, those that are there already."""
        final = self.run.folder / FILE
        return final if final.is_file() else self.run.folder / LIVE

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """Titles of the scenarios by name, in the run's order."""
        chosen = self.run.values["config"].get("scenario") or {}
        known = {str(item["name"]): str(item["title"]) for item in chosen.values()}
        if not self.run.metrics:  # it goes on
            return known
        kinds = (ASR.name, FALSE_REFUSALS.name)
        rates = [key.split("/", 1) for key in self.run.metrics if f"{key}_low" in self.run.metrics and "/" in key]
        # From the metrics, since a dataset with scenarios of its own has none in the configuration.
        rated = dict.fromkeys(name for kind, name in rates if kind in kinds and name not in SCOPES)
        return {name: known.get(name) or name.replace("_", " ") for name in rated}


def columns(folders: Sequence[Path]) -> list[Column]:
    """The finished runs of the folders, each a run or a sweep of runs, named by what differs between them.

    Raises:
        DataError: a folder holds no finished run, its rows are not those of its `run.json`, or a run is named twice.
    """
    runs = [run for folder in folders for run in _runs(folder)]
    # A run named by its own folder and by its sweep's would stand beside itself.
    places = [run.folder.resolve() for run in runs]
    if twice := [str(place) for place in places if places.count(place) > 1]:
        raise DataError(f"runs= names {twice[0]} twice", "Name each run once.")
    refuse_copies(runs)
    return named(runs)


def _runs(folder: Path) -> list[Finished]:
    if (folder / RUN).is_file():
        return [finished_run(folder)]
    # By length first: a sweep's folders are numbers, and 10 comes after 9.
    members = sorted(folder.glob(f"*/{RUN}"), key=lambda path: (len(path.parent.name), path.parent.name))
    found = [finished_run(path.parent) for path in members]
    if not found:
        raise DataError(
            f"runs={folder} holds no finished run",
            "Name folders of runs, or of a sweep: runs=outputs/sweeps/DATE, runs=[outputs/runs/A,outputs/runs/B].",
        )
    return found


def named(runs: Sequence[Finished]) -> list[Column]:
    """The runs with their names in a report; two never share one."""
    placements = [str(run.values["config"].get("defense_placement")) for run in runs]
    placed = len(set(placements)) > 1
    facets = [_facets(run, placed) for run in runs]
    differing = [key for key in FACETS if len({each[key] for each in facets}) > 1] or ["model"]
    labels = [BETWEEN.join(each[key] for key in differing) for each in facets]
    # From the most telling to the least: the placement that a run without a defense was given too, the settings that
    # were asked for, the folder, a number.
    labels = _told_apart(labels, placements) if placed else labels
    labels = _told_apart(labels, [run.name for run in runs])
    labels = _told_apart(labels, [run.folder.name for run in runs])
    labels = _told_apart(labels, [str(number) for number in range(1, len(runs) + 1)])
    who = [key for key in differing if key not in ("image_mode", "dataset")] or ["model"]
    names = [BETWEEN.join(each[key] for key in who) for each in facets]
    return [Column(*parts) for parts in zip(runs, facets, labels, names, strict=True)]


def _told_apart(labels: Sequence[str], more: Sequence[str]) -> list[str]:
    return [
        f"{label}{BETWEEN}{extra}" if labels.count(label) > 1 else label
        for label, extra in zip(labels, more, strict=True)
    ]


def _facets(run: Finished, placed: bool) -> dict[str, str]:
    # The model's own name, not the option's: `model=vllm` serves any.
    config, choices = run.values["config"], run.values["choices"]
    found = {key: str(choices.get(key) or "-") for key in FACETS}
    found["model"] = str((config.get("model") or {}).get("name") or found["model"])
    if reader := ((config.get("judge") or {}).get("model") or {}).get("name"):
        found["judge"] += f" ({reader})"
    found["defense"] = run.defense
    if placed and found["defense"] != "none":
        found["defense"] += f" ({config.get('defense_placement')})"
    return found


def alike(found: Sequence[Column], but: str) -> list[list[int]]:
    """Groups of two or more runs (their numbers) that are alike in everything measured but one facet.

    Args:
        found: the runs.
        but: "defense", "judge" or "image_mode".
    """
    free = OF_DEFENSE if but == "defense" else (but,)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    own: list[str] = []
    for number, column in enumerate(found):
        config: Mapping[str, Any] = column.run.values["config"]
        # The configuration, not the label: two runs of one label may differ in a setting that no label shows.
        values = {key: config.get(key) for key in MEASURED}
        values["defense"] = [config.get("defense"), column.run.defended]  # a text that was edited is another defense
        groups[_canonical({key: value for key, value in values.items() if key not in free})].append(number)
        own.append(_canonical([values[key] for key in free]))
    return [group for group in groups.values() if len({own[number] for number in group}) > 1]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
