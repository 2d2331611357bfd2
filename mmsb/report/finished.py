"""Finished runs with their rates, for tables of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsb.cost import a_sample
from mmsb.errors import DataError
from mmsb.metrics.rates import Rate
from mmsb.metrics.summary import Bounds
from mmsb.run import FILE as RECORD
from mmsb.run import SavedRun


@dataclass(frozen=True)
class Bounded:
    """A rate, and what it would be if none of the answers missing from it counted (`least`), or all (`most`)."""

    rate: Rate
    least: float
    most: float


@dataclass(frozen=True)
class Finished(SavedRun):
    """A finished run and its rates."""

    def rate(self, key: str) -> Rate | None:
        """A rate back from the flat metrics; None where the run has none.

        Raises:
            DataError: the record has the rate, and not the ends of its interval.
        """
        if key not in self.metrics:
            return None
        if lacking := [end for end in (f"{key}_low", f"{key}_high") if end not in self.metrics]:
            raise DataError(
                f"{self.folder / RECORD} has {key} and no {' nor '.join(lacking)}",
                "Run the same command again: what was answered is in the store.",
            )
        # How many questions a rate rests on is not among the flat metrics; no table of several runs shows it.
        return Rate(self.metrics[key], self.metrics[f"{key}_low"], self.metrics[f"{key}_high"], None)

    def rated(self, key: str) -> Rate | Bounded | None:
        """A rate for a table: with its bounds where answers are missing from it."""
        rate, bounds = self.rate(key), self.bounds(key)
        return Bounded(rate, *bounds) if rate and bounds else rate

    def bounds(self, key: str) -> Bounds | None:
        """A rate's bounds from the flat metrics; None where no answer is missing from it."""
        least, most = self.metrics.get(f"{key}_least"), self.metrics.get(f"{key}_most")
        return (least, most) if least is not None and most is not None else None

    @property
    def defense(self) -> str:
        """Its defenses, the one that sees the request first first: "input_guard > safety_prompt"."""
        return " > ".join(self.values["config"].get("defense") or {}) or "none"

    @property
    def defended(self) -> Mapping[str, Any]:
        """What determines its defenses: their texts too, which may stand in files that were edited since."""
        made: Mapping[str, Any] = self.values.get("record", {}).get("defense") or {}
        return made

    @property
    def cost(self) -> dict[str, float | None]:
        """What a sample cost: calls, tokens, seconds, dollars."""
        return a_sample(self.values["record"])

    @property
    def calls(self) -> float:
        """Calls of models a sample, those that failed too."""
        return self.cost["calls"] or 0.0


def rows_of(run: Finished) -> object:
    """What two runs share that have the same rows: one whose defense takes no notice of its placement, say."""
    return run.values.get("results_digest", id(run))


def finished_run(folder: Path) -> Finished:
    """Open a finished run.

    Raises:
        DataError: no finished run there, or its rows are not those of its `run.json`.
    """
    saved = SavedRun.open(folder)
    return Finished(saved.folder, saved.values)


def refuse_copies(runs: Sequence[SavedRun]) -> None:
    """Refuse a run beside its own copy in another folder: each question would count twice, and differ nowhere.

    Raises:
        DataError: naming both folders.
    """
    places: dict[str, Path] = {}
    for run in runs:
        name = run.values.get("id")  # version 0.1.0 gave none
        if name and places.setdefault(name, run.folder) != run.folder:
            raise DataError(f"{places[name]} and {run.folder} are one run, copied", "Name one of them.")


def finished_runs(folder: Path) -> list[Finished]:
    """The finished runs of a sweep, in its order.

    Raises:
        DataError: a run's rows are not those of its `run.json`.
    """
    # By number: as texts 10 would come before 2.
    paths = sorted(folder.glob("*/run.json"), key=lambda path: int(path.parent.name))
    return [finished_run(path.parent) for path in paths]
