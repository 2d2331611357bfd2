"""What a tracker is: it is told about finished runs. It never slows one down and never loses one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mmsb.metrics.summary import Summary
from mmsb.run import Run
from mmsb.types import Sample


@runtime_checkable
class Tracker(Protocol):
    """Records finished runs for comparison. Every method may raise TrackingError; the results stay complete."""

    def open_sweep(self, folder: Path, name: str) -> dict[str, str]:
        """Prepare for a sweep's runs before any starts; returns environment variables for its processes."""
        ...

    def log(self, run: Run, summary: Summary, asked: Iterable[Sample]) -> str | None:
        """Record a finished run.

        Args:
            run: the run; its files are complete.
            summary: its rates.
            asked: its samples, in the order of the results' rows.

        Returns:
            How to look at it, in one line for the terminal (for a run of a sweep, `close_sweep` says so).
        """
        ...

    def close_sweep(self, folder: Path, runs: Sequence[Mapping[str, Any]], finished: bool) -> str | None:
        """Record the end of a sweep.

        Args:
            folder: the sweep's folder.
            runs: the contents of its runs' `run.json`.
            finished: whether all its runs came to their end.

        Returns:
            How to look at it, in one line for the terminal.
        """
        ...
