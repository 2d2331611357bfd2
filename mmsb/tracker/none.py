"""No tracker: the results stay in their folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsb.config import settings
from mmsb.metrics.summary import Summary
from mmsb.run import Run
from mmsb.types import Sample


@settings
class NoTracker:
    """Records nothing."""

    def open_sweep(self, folder: Path, name: str) -> dict[str, str]:
        """Nothing to prepare."""
        return {}

    def log(self, run: Run, summary: Summary, asked: Iterable[Sample]) -> str | None:
        """Nothing to record."""
        return None

    def close_sweep(self, folder: Path, runs: Sequence[Mapping[str, Any]], finished: bool) -> str | None:
        """Nothing to end."""
        return None
