"""A pool of replicas: batches go to whoever is free, and what a dead replica held goes to the next."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsb.console import say
from mmsb.errors import ModelError
from mmsb.replicas.actor import Replica, Share, identity
from mmsb.replicas.cluster import LOOK, Room, lost

AHEAD = 2  # batches a replica holds: one is encoded while the other is answered
LOSSES = 3  # replicas that a batch may cost before it is taken for the cause; likewise of starts that fail
PATIENCE = 60.0  # seconds without news after which the person is told what is waited for

Done = tuple[Any, Sequence[Any] | None]


@dataclass(eq=False)
class Seat:
    """A place for a replica, taken by one actor after another."""

    actor: Any
    opened: bool = False
    held: int = 0  # batches; AHEAD where it has no room for more
    lost: int = 0  # actors that died before they were open


@dataclass(eq=False)
class Given:
    """A batch, and how many replicas died while they held it."""

    batch: Any
    costs: int = 0

    @property
    def room(self) -> int:
        """What it takes of a replica: one that may be a killer is held alone, so that no other is blamed."""
        return AHEAD if self.costs else 1


@dataclass
class Pool:
    """The replicas of one kind. They are kept for all runs of this process, so that weights are loaded once."""

    room: Room
    seats: list[Seat] = field(default_factory=list)

    def fill(self) -> None:
        """Begin all replicas."""
        self.seats = [Seat(self.actor()) for _ in range(self.room.replicas)]

    def actor(self) -> Any:
        """A new actor; it starts when there is room."""
        import ray

        made = ray.remote(num_cpus=self.room.cpus, num_gpus=self.room.gpus, max_concurrency=AHEAD)(Replica)
        return made.remote(os.getcwd())


_pools: dict[Room, Pool] = {}


def spread(share: Share, batches: Iterable[Any], room: Room) -> Iterator[Done]:
    """Have replicas do the work of each batch.

    Returns:
        Each batch with its outcomes, in any order; with None where several replicas died under it.

    Raises:
        ConfigError: the cluster is too small.
        ModelError: no replica can be opened, one is not like this process, or Ray's own processes died.
    """
    pool = _pools.get(room)
    if pool is None or not pool.seats:
        _pools.clear()  # replicas of another kind would hold what these need
        room.check()
        pool = _pools[room] = Pool(room)
        pool.fill()
    yield from _Pass(pool, share, batches).outcomes()


def end() -> None:
    """Let all replicas go, and leave Ray."""
    import ray

    _pools.clear()
    ray.shutdown()


class _Pass:
    """One way of batches through a pool."""

    def __init__(self, pool: Pool, share: Share, batches: Iterable[Any]) -> None:
        self._pool = pool
        self._share = share
        self._back: deque[Given] = deque()  # from replicas that died
        self._batches = map(Given, batches)
        self._under_way: dict[Any, tuple[Seat, Any, Given | None]] = {}  # None: the seat's actor is being opened
        self._expected = identity(share)
        self._gpus: set[str] = set()

    def outcomes(self) -> Iterator[Done]:
        """Until every batch is done; a replica that is still being opened then is there for the next pass."""
        for seat in self._pool.seats:
            seat.opened, seat.held, seat.lost = False, 0, 0
            self._open(seat)
        more = True
        while more or self._back or any(given for _, _, given in self._under_way.values()):
            ref = self._next()
            yield from self._ended(ref, *self._under_way.pop(ref))
            more = self._hand_out()

    def _open(self, seat: Seat) -> None:
        self._under_way[seat.actor.open.remote(self._share)] = (seat, seat.actor, None)

    def _next(self) -> Any:
        """Wait for whatever ends first; after a while say what is missing.

        Raises:
            ModelError: Ray's own processes died.
        """
        import ray

        told = time.monotonic()
        while True:
            if error := lost():
                raise error
            done, _ = ray.wait(list(self._under_way), num_returns=1, timeout=LOOK)
            if done:
                return done[0]
            loading = sum(not seat.opened for seat in self._pool.seats)
            if loading and time.monotonic() - told > PATIENCE:
                say(f"{loading} of {len(self._pool.seats)} replicas are not ready: they load, or wait for room")
                told = time.monotonic()

    def _ended(self, ref: Any, seat: Seat, actor: Any, given: Given | None) -> Iterator[Done]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        if given and actor is seat.actor:
            seat.held -= given.room
        try:
            value = ray.get(ref)
        except RayTaskError as error:  # the work itself raised it
            raise error.cause from error
        except RayError as error:
            if actor is seat.actor:  # the first of its calls to tell
                self._replace(seat, error)
            if given:
                yield from self._give_back(given)
            return
        if given:
            yield given.batch, value
        else:
            self._welcome(seat, *value)

    def _replace(self, seat: Seat, error: Exception) -> None:
        """Have a new actor take the place of one that died, unless none stays alive there.

        Raises:
            ModelError: this was the last seat.
        """
        seat.lost += not seat.opened
        if seat.lost < LOSSES:
            say("a replica died: what it held goes to the next one that is free, and another takes its place")
            seat.actor, seat.opened, seat.held = self._pool.actor(), False, 0
            self._open(seat)
            return
        self._pool.seats.remove(seat)
        if not self._pool.seats:
            why = " ".join(str(error).split())[:300]
            raise ModelError(f"every replica dies while it loads: {why}", f"See why with {self._pool.room.setting}=1.")

    def _give_back(self, given: Given) -> Iterator[Done]:
        given.costs += 1
        if given.costs < LOSSES:
            self._back.append(given)
        else:
            yield given.batch, None

    def _welcome(self, seat: Seat, node: str, gpu: str, found: dict[str, str]) -> None:
        """See that a replica gives what this process would.

        Raises:
            ModelError: other weights, packages or code than here.
        """
        mine = self._expected
        if other := [f"{key} {found[key]} (here {mine[key]})" for key in mine if found[key] != mine[key]]:
            raise ModelError(
                f"the replica on {node} would not give what this process does: {', '.join(other)}",
                "Bring all nodes to the same weights, packages and code, and name dtype where it is auto.",
            )
        if self._gpus and gpu not in self._gpus:
            say(f"warning: replicas run on {gpu} and {', '.join(self._gpus)}: in half precision answers may differ")
        self._gpus.add(gpu)
        seat.opened = True

    def _hand_out(self) -> bool:
        """Give batches to replicas with room, the emptiest first; tells whether there may be more to give."""
        while True:
            free = [seat for seat in self._pool.seats if seat.opened and seat.held < AHEAD]
            if not free:
                return True
            seat = min(free, key=lambda seat: seat.held)
            if self._back and seat.held:
                return True
            given = self._back.popleft() if self._back else next(self._batches, None)
            if given is None:
                return False
            seat.held += given.room
            self._under_way[seat.actor.work.remote(self._share, given.batch)] = (seat, seat.actor, given)
