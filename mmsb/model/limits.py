"""One endpoint's limits, kept by all processes together that share a store.

    outputs/store/endpoints/<endpoint>/lock        held for microseconds, by whoever reads or changes the rest
                                       <n>.member  of one process: its limits, the places it wants and those it holds;
                                                   locked as long as the process lives
                                       next        when the next request may begin, by the system's monotonic clock

A killed process's file is no longer locked: the next one that looks removes it, and its places are free. So are those
of a process that was stopped (Ctrl-Z), after a while.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import msgspec

from mmsb.errors import StoreError

TURN = 1.0  # seconds after which places that cannot be divided go to the next process
SENT = 1.05  # of an even share: requests do not arrive as evenly as they leave, and a server must not count one more
TOKENS = 1.02  # likewise; of a minute that is more than any request is late
BEGUN = 1.06  # slower than they are sent, so that none waits long with its connection, which a server may close
BOOT = Path("/proc/sys/kernel/random/boot_id")  # the monotonic clock begins anew with it
STILL = 10.0  # seconds after which a process that says nothing was stopped; one that asks says something each second
SAID = 300  # bytes of a record: of one length, so that one write replaces it whole


class Limits(msgspec.Struct, frozen=True):
    """What is asked of an endpoint at most.

    Attributes:
        places: requests at a time.
        requests: begun in a second; None for no limit.
        tokens: in a minute, those of the prompts and those of the answers; None for no limit.
    """

    places: int
    requests: float | None = None
    tokens: float | None = None

    def strictest(self, other: Limits) -> Limits:
        """Both kept: a judge that is set to 4 at a time is not drowned by a target set to 32."""
        requests = min(filter(None, (self.requests, other.requests)), default=None)
        tokens = min(filter(None, (self.tokens, other.tokens)), default=None)
        return Limits(min(self.places, other.places), requests, tokens)


class Member(msgspec.Struct, frozen=True):
    """What one process says of itself: its limits, how many places it wants and holds, and when, on which clock."""

    limits: Limits
    wanted: int = 0
    held: int = 0
    boot: str = ""
    at: int = 0


class Next(msgspec.Struct):
    """When the next request may begin: as those before it want, and as their tokens want; on which clock.

    `sent` is when the next one may go out: the last one may have waited for its connection after it began.
    """

    boot: str
    request: float = 0.0
    tokens: float = 0.0
    sent: float = 0.0


class Shared:
    """This process among those that ask an endpoint.

    Attributes:
        strictest: the limits of all who ask there, as far as they were looked at.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Join them.

        Raises:
            StoreError: the folder cannot be written; so do all its methods.
        """
        self.strictest = limits
        self._limits = limits
        self._folder = folder
        # A process may have several (a judge's driver beside the run's), and numbers come again on other machines.
        self._me = folder / f"{os.getpid()}-{secrets.token_hex(3)}.member"
        # A clock from before a restart may lie hours ahead, and every request would wait for it.
        self._boot = BOOT.read_text().strip() if BOOT.exists() else ""
        self._said = b""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            self._clock = os.open(folder / "next", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError.writing(folder, error) from error
        with self._locked():  # nobody may see the file before it is locked
            self._file = os.open(self._me, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._tell(0, 0)

    def close(self) -> None:
        """Leave."""
        # Under the lock: a process that has just listed this file would else find it gone, and end its run over that.
        with self._locked():
            self._me.unlink(missing_ok=True)
        for file in (self._file, self._clock, self._lock):
            os.close(file)

    def share(self, wanted: int, inside: int) -> int:
        """How many places this process may fill now.

        Args:
            wanted: requests that are under way, or wait for a place.
            inside: those that are under way. They keep their places until they end, be they more than the share.
        """
        with self._locked():
            others = self._others()
            self.strictest = reduce(Limits.strictest, (other.limits for other in others.values()), self._limits)
            most = self.strictest.places
            wants = {self._me.name: wanted, **{name: other.wanted for name, other in others.items()}}
            fair = divided(most, wants, int(time.time() / TURN))[self._me.name] if others else most
            # What others hold counts, not what they should: they give places back only as their requests end.
            mine = max(0, min(fair, most - sum(other.held for other in others.values())))
            # Held from now on, before they are filled: the next process to look must not be given the same places.
            self._tell(wanted, max(inside, mine) if wanted else 0)
        return mine

    @property
    def paced(self) -> bool:
        """Whether requests wait for their turn."""
        return not (self.strictest.requests is None and self.strictest.tokens is None)

    def turn(self, tokens: float) -> float:
        """Take the turn of one request, if it is its turn: 0.0. Else the seconds until then, and nothing is taken.

        Args:
            tokens: that it will take, as far as is known.
        """
        with self._locked():
            now, clock, limits = time.monotonic(), self._next(), self.strictest
            later = max(clock.request, clock.tokens) - now
            if later > 0:
                return later
            if limits.requests:
                clock.request = now + BEGUN / limits.requests
            if limits.tokens:
                clock.tokens = now + TOKENS * tokens * 60 / limits.tokens
            self._set(clock)
        return 0.0

    def start(self) -> float:
        """Send a request whose connection is there, if that is far enough from the last one: 0.0. Else as `turn`.

        The first of them wait for a connection. Without this they would arrive together with those that came next, and
        a server that counts seconds would see too many.
        """
        with self._locked():
            now, clock, requests = time.monotonic(), self._next(), self.strictest.requests
            if clock.sent > now:
                return clock.sent - now
            if requests:
                clock.sent = now + SENT / requests
                self._set(clock)
        return 0.0

    def correct(self, tokens: float) -> None:
        """A request took so many tokens more than was known when it began; or fewer, below 0."""
        if self.strictest.tokens:
            with self._locked():
                clock = self._next()
                clock.tokens += TOKENS * tokens * 60 / self.strictest.tokens
                self._set(clock)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            # Waited for, since it is held for microseconds and freed by the system when its holder dies.
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        except OSError as error:
            raise StoreError.writing(self._folder, error) from error

    def _others(self) -> dict[str, Member]:
        found = {}
        for name in sorted(os.listdir(self._folder)):
            if name.endswith(".member") and name != self._me.name:
                file = os.open(self._folder / name, os.O_RDONLY)
                try:
                    # To be had only where nobody holds it: its process is gone, however it ended.
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    found[name] = self._as_it_is(msgspec.json.decode(os.read(file, SAID), type=Member))
                else:
                    (self._folder / name).unlink()
                finally:
                    os.close(file)
        return found

    def _as_it_is(self, said: Member) -> Member:
        stopped = said.boot == self._boot and time.monotonic() - said.at > STILL
        # What it had under way is answered by now; all others would wait for as long as it stands still.
        return Member(said.limits) if stopped else said

    def _tell(self, wanted: int, held: int) -> None:
        now = int(time.monotonic())  # in whole seconds: it is written down as often
        said = msgspec.json.encode(Member(self._limits, wanted, held, self._boot, now)).ljust(SAID)
        if said != self._said:
            os.pwrite(self._file, said, 0)
            self._said = said

    def _next(self) -> Next:
        clock = msgspec.json.decode(os.pread(self._clock, SAID, 0) or b'{"boot":""}', type=Next)
        return clock if clock.boot == self._boot else Next(self._boot)

    def _set(self, clock: Next) -> None:
        os.pwrite(self._clock, msgspec.json.encode(clock).ljust(SAID), 0)


def divided(places: int, wanted: Mapping[str, int], turn: int) -> dict[str, int]:
    """Places for everyone, evenly, as far as they are wanted; what cannot be divided goes round with the turns."""
    names = sorted(wanted)
    # By the clock, which all share: nobody has to be told whose turn it is.
    names = names[turn % len(names) :] + names[: turn % len(names)]
    given = dict.fromkeys(names, 0)
    while places and (open_ := [name for name in names if given[name] < wanted[name]]):
        for name in open_[:places]:
            given[name] += 1
        places -= min(places, len(open_))
    return given
