"""What keeps one endpoint within what it bears: how many requests at a time, and whether it is worth asking at all."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from mmsb.errors import StoreError

FALL, CALM = 0.7, 1.0  # the share that stays after a 429; seconds before another one counts, as they come in swarms
SLOW, RECENT = 0.5, 0.2  # share of a request's time from which on a reply is slow; weight of the last one
LEFT = 0.25  # share of its places that slow replies leave: a model that thinks long is slow by itself
IN_A_ROW = 8  # failures after which an endpoint is probed instead of asked; fewer may be bad luck
BEAT = 0.05  # seconds between two looks at what other processes want
PROBE_SECONDS, LOOK_SECONDS = 2.0, 0.1  # between two probes; between two looks whether it is one's turn


class Gate:
    """Lets a number of requests through at a time: fewer after the endpoint was busy, more again while it answers.

    Attributes:
        places: how many now; at most `most`, and at least one.
        inside: how many are under way.
    """

    def __init__(
        self,
        most: int,
        share: Callable[[int, int], int] | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Nobody is inside yet.

        Args:
            most: places, whatever others want.
            share: of how many that are wanted and how many are inside, how many this process may fill beside others.
            beat: called again and again while anybody is inside or waits.
        """
        self.places = float(most)
        self.inside = 0
        self._most = most
        self._share = share
        self._told = beat
        # Nothing before the others were asked: a process that starts would else fill an endpoint that is full.
        self._allowed = most if share is None else 0
        self._beat: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._fell = 0.0
        self._took: float | None = None  # of the time that a request has, on average of late
        self._held = False  # whether a late reply took places, and replies are slow still

    @property
    def wanted(self) -> int:
        """Requests that are under way or wait."""
        return self.inside + len(self._waiting)

    @property
    def limited(self) -> bool:
        """Whether the endpoint was too busy for all places, and has not borne them since."""
        return self.places < self._most

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it.

        Raises:
            StoreError: what processes share cannot be written.
        """
        self._begin()
        if self._full or self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn  # who lets in has counted it already
            except asyncio.CancelledError:
                # Let in and cancelled in the same moment: its place has been counted, and nobody would give it back.
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self.inside += 1
        try:
            yield
        finally:
            self._leave()

    def spare(self) -> AbstractAsyncContextManager[None] | None:
        """A place that nobody waits for, to be entered at once; None where there is none.

        Raises:
            StoreError: what processes share cannot be written.
        """
        self._begin()
        # Not past those who wait: a second request beside a late one is a luxury.
        return None if self._full or self._waiting else self.place()

    def _begin(self) -> None:
        """Ask for places, if that is not done again and again already."""
        if self._share and self._beat is None:
            # One place is wanted for certain; the beat asks for what the queue shows a moment later.
            self._allowed = self._share(1, 0)
            self._beat = self._later()

    @property
    def _full(self) -> bool:
        return self.inside >= min(int(self.places), self._allowed)

    def _leave(self) -> None:
        self.inside -= 1
        if self._share and self.inside >= self._allowed:  # a place that others wait for
            self._renew(self._share)
        self._let_in()

    def close(self) -> None:
        """Look no more."""
        if self._beat:
            self._beat.cancel()

    def _look(self) -> None:
        """Again and again while there is anything to do: others may have come, gone, or died."""
        assert self._share
        self._told()
        self._renew(self._share)
        self._beat = self._later() if self.wanted else None
        self._let_in()

    def _later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(BEAT, self._look)

    def _renew(self, share: Callable[[int, int], int]) -> None:
        with suppress(StoreError):  # whoever cannot write his answers down will say so; until then it is as it was
            self._allowed = share(min(self.wanted, self._most), self.inside)

    def _let_in(self) -> None:
        while self._waiting and not self._full:
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)

    def busy(self) -> None:
        """The endpoint says that it has too much to do."""
        now = time.monotonic()
        if now - self._fell > CALM:
            self._fell = now
            self.places = max(1.0, self.places * FALL)

    def late(self) -> None:
        """A request had no answer within its time."""
        # Where others are answered quickly it is that request's own fault, and fewer at a time would not help it.
        if (self._took is None or self._took > SLOW) and self.places > LEFT * self._most:
            self._held = True
            self.busy()

    def answered(self, took: float) -> None:
        """It answered a request: once it has answered as many as are let in, one more is.

        Args:
            took: the share of its time that the request needed. After a late one, slow ones let nobody more in: all
                would become slower.
        """
        self._took = took if self._took is None else self._took + RECENT * (took - self._took)
        self._held = self._held and self._took > SLOW
        if self.limited and not self._held:
            # As in TCP: down by a share, up by one for as many answers as there are places, so that it settles below
            # the limit.
            self.places = min(self._most, self.places + 1 / self.places)
            self._let_in()


class Breaker:
    """Knows an endpoint that fails everything: it is then probed by one request at a time, and given up after a while.

    Only what says that the server is broken counts: lost connections, timeouts, 5xx, malformed replies. One that is
    busy (429) is not broken, and one that refuses a request (400) works.

    Attributes:
        failures: in a row.
        worked: when it last replied as a server that works does; before it did, when it was first known of.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has failed yet. By its clock it is known when something did."""
        self._clock = clock
        self.worked = clock()
        self.failures = 0
        self._since = 0.0
        self._probing = False
        self._next = 0.0

    @property
    def open(self) -> bool:
        """Whether it is only probed."""
        return self.failures >= IN_A_ROW

    def given_up(self, seconds: float) -> bool:
        """Whether it has failed everything for so long."""
        return self.open and self.failing_for >= seconds

    @property
    def failing_for(self) -> float:
        """Seconds since the first of the failures in a row; 0 where the last attempt did not fail."""
        return self._clock() - self._since if self.failures else 0.0

    async def admit(self, deadline: float, seconds: float) -> None:
        """Wait until it may be asked: at once, or as a probe; not beyond the deadline, or once it is given up."""
        # Let go at the deadline and not refused: the attempt fails by itself, with what the server says.
        while self.open and not self.given_up(seconds) and (now := self._clock()) < deadline:
            if not self._probing and now >= self._next:
                self._probing = True
                return
            await asyncio.sleep(LOOK_SECONDS)

    def failed(self, started: float) -> None:
        """An attempt that began at `started` met a broken server."""
        if not self.failures:
            # From the attempt's begin: a server that hangs has failed since then, not since its timeout.
            self._since = started
        self.failures += 1
        self._probing = False
        self._next = self._clock() + PROBE_SECONDS

    def works(self) -> None:
        """It replied as a server that works does."""
        # At once and for all who wait: one reply shows that the server works, and the gate limits how many go.
        self.failures, self._probing, self.worked = 0, False, self._clock()

    def dropped(self) -> None:
        """The attempt was cancelled and tells nothing; another may probe."""
        self._probing = False
