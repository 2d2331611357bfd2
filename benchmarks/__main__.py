"""python -m benchmarks: measure everything and print one table; exit code 1 when a bound is missed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import create, demo, endpoint, local, startup, traces
from benchmarks.measure import Figure, show


def measure() -> Iterator[Figure]:
    """All figures; `local` last, since it loads torch here, and a process inherits the peak memory of its parent."""
    for part in (startup, demo, endpoint, create, traces, local):
        yield from part.measure()


if __name__ == "__main__":
    sys.exit(not show(measure()))
