"""Finished runs as they lie on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsb.errors import DataError
from mmsb.metrics.rates import Rate
from mmsb.metrics.summary import Bounds
from mmsb.results import FILE, read_rows


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run: its folder and its `run.json`."""

    folder: Path
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What tells it from the others of its sweep."""
        return str(self.values["name"])

    @property
    def metrics(self) -> Mapping[str, float]:
        """Its flat metrics."""
        metrics: Mapping[str, float] = self.values["metrics"]
        return metrics

    def rate(self, key: str) -> Rate | None:
        """A rate back from the flat metrics; None where the run has none."""
        if key not in self.metrics:
            return None
        return Rate(self.metrics[key], self.metrics[f"{key}_low"], self.metrics[f"{key}_high"], 0)

    def bounds(self, key: str) -> Bounds | None:
        """A rate's bounds from the flat metrics; None where no answer is missing from it."""
        least, most = self.metrics.get(f"{key}_least"), self.metrics.get(f"{key}_most")
        return (least, most) if least is not None and most is not None else None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Its rows."""
        return read_rows(self.folder / FILE)

    @property
    def calls(self) -> float:
        """Calls of the model a sample."""
        record = self.values["record"]
        return float(record["totals"]["calls"] / record["dataset"]["samples"])


def finished_run(folder: Path) -> Finished:
    """Open a finished run.

    Raises:
        DataError: there is none.
    """
    for name in (FILE, "run.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder} has no {name}", "Name the folder of a finished run, under outputs/.")
    return Finished(folder, json.loads((folder / "run.json").read_text(encoding="utf-8")))


def finished_runs(folder: Path) -> list[Finished]:
    """The finished runs of a sweep, in its order."""
    paths = sorted(folder.glob("*/run.json"), key=lambda path: int(path.parent.name))
    return [finished_run(path.parent) for path in paths]
