"""The time in which this process ran. What it was stopped for (Ctrl-Z, a scheduler) is no server's silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LATE = 2.0  # seconds without a look at the clock after which the process was stopped, or had no processor


class Awake:
    """A clock that stands still with the process, and deadlines that move on with it.

    Somebody has to beat, whenever anything is measured.
    """

    def __init__(self) -> None:
        """Nothing has been missed."""
        self._missed = 0.0
        self._seen = time.monotonic()
        self._limits: set[asyncio.Timeout] = set()

    def now(self) -> float:
        """Seconds, of the monotonic clock, without those that were missed; never less than what it said before."""
        # A look of its own: what began between a stop and the beat that tells of it would else end before it began.
        self.beat()
        return self._seen - self._missed

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """`asyncio.timeout`, in seconds of this clock.

        Raises:
            TimeoutError: they are over.
        """
        async with asyncio.timeout(seconds) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

    def beat(self) -> None:
        """Look at the clock."""
        now = time.monotonic()
        missed, self._seen = now - self._seen, now
        if missed > LATE:
            self._missed += missed
            # Before they are over: what was asked for may have come long ago, paid for and unread.
            for limit in self._limits:
                if (when := limit.when()) is not None and not limit.expired():
                    limit.reschedule(when + missed)
