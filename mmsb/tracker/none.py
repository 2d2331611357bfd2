"""No tracker: the results stay in their folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from mmsb.config import settings
from mmsb.run import Run, SavedRun
from mmsb.tracker.base import MakePage, Sweep, Told
from mmsb.types import Sample


@settings
class NoTracker:
    """Records nothing."""

    def open_sweep(self, sweep: Sweep) -> None:
        """Nothing to prepare."""

    def follow(self, run: Run, total: int) -> AbstractContextManager[Told]:
        """Nobody to tell."""
        return nullcontext(lambda result: None)

    def log(self, run: SavedRun, asked: Iterable[Sample]) -> str | None:
        """Nothing to record."""
        return None

    def leave_sweep(self, sweep: Sweep) -> None:
        """Nothing to end."""

    def close_sweep(self, sweep: Sweep, runs: Sequence[SavedRun], finished: bool, page: MakePage) -> str | None:
        """Nothing to end."""
        return None
