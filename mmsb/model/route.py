"""Where a prompt is sent, when a model has several servers: to the least busy one of those that work.

A server that fails twice in a row is left out. It is asked for its list of models every few seconds, which costs
nothing, and comes back once it answers. What it failed goes to another server at once; so does what it refuses, and one
that refuses everything is left out for good.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mmsb.console import say
from mmsb.errors import ModelError
from mmsb.model.governor import BEAT, PROBE_SECONDS
from mmsb.model.urls import shown
from mmsb.replies import parse_model

if TYPE_CHECKING:
    from mmsb.model.endpoint import Endpoint

SHOWN = 100  # letters of a model's name
# Words that tell a model from a smaller or a larger one of its family.
SIZES = {"nano", "micro", "mini", "lite", "small", "medium", "large", "flash", "turbo", "plus", "pro", "max", "air"}
TWICE = 2  # failures in a row, after which a server is left out where there are others

log = logging.getLogger(__name__)


class Servers:
    """The servers of one model. Most have one, which is then asked whatever it does.

    Attributes:
        answered: how many prompts each has answered.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Nothing is sent yet."""
        self.endpoints = list(endpoints)
        self.answered: Counter[str] = Counter({endpoint.url: 0 for endpoint in endpoints})
        self._models: dict[str, str] = {}
        self._said: set[str] = set()  # every model that was named
        self._watched: dict[Endpoint, asyncio.Task[None]] = {}
        self._line = asyncio.Lock()
        self._left = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._watched.values():
            task.cancel()
        await asyncio.gather(*self._watched.values(), return_exceptions=True)

    @asynccontextmanager
    async def route(self) -> AsyncIterator[Route]:
        """A place at the least busy server that works, once there is any."""
        async with AsyncExitStack() as places:
            route = Route(self, self.endpoints[0], places)
            if len(self.endpoints) == 1:
                await route.enter(route.endpoint, route.endpoint.gate.place())
            else:
                # One line for all: who waited in the line of one server would not see that another one is quicker.
                async with self._line:
                    await route.enter(*(await self._spare()))
            try:
                yield route
            finally:
                self._left.set()

    async def _spare(self) -> tuple[Endpoint, AbstractAsyncContextManager[None]]:
        while True:
            # All of them where none works: the breaker then probes, and patience decides when to give up.
            for endpoint in self._by_load([one for one in self.endpoints if self._works(one)] or self.endpoints):
                if place := endpoint.gate.spare():
                    return endpoint, place
            self._left.clear()
            # Also when nobody left here: other engines and other processes leave places too.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), BEAT)

    def another(self, *than: Endpoint) -> Endpoint | None:
        """The least busy of the others that work; None where there is none."""
        others = self._by_load([one for one in self.endpoints if one not in than and self._works(one)])
        return others[0] if others else None

    def check_model(self, endpoint: Endpoint, content: bytes, asked: str) -> None:
        """See that a reply is of the model that was asked for, and that the other servers are.

        Raises:
            ModelError: two name different ones.
        """
        if (said := parse_model(content)) is None:
            return
        before = self._models.get(url := shown(endpoint.url))
        self._models[url] = said
        if said not in self._said:
            self._said.add(said)
            # Told and not refused: a provider may move a name to its next version, or a router to another model, in
            # the middle of a run. Its rates are then of neither alone.
            if before is None and not _alike(asked, said):
                # Some servers answer as the one model that they have, whatever name they are asked for.
                _say_once(
                    f"{url} was asked for {asked} and answers as {said[:SHOWN]}: see that this is the model you mean."
                )
            if before is not None:
                told = f"{url} answers as {said[:SHOWN]} now, and did as {before[:SHOWN]}"
                say(f"{told}: the answers are of several models. A name with a date in it mostly stays one model.")
                log.info("%s", told)
        if len(self.endpoints) == 1:
            return
        # Some servers answer whatever name they are asked for: two models would be measured as one.
        if len(set(self._models.values())) > 1:
            told = ", ".join(f"{url} answers as {model}" for url, model in sorted(self._models.items()))
            raise ModelError(
                f"the servers of base_url are not of one model: {told}",
                "Serve one model under one name, or leave a server out. Answers of the wrong one may be stored: ask "
                "under another name, or remove the model's folder in the store.",
            )

    def leave(self, endpoint: Endpoint, name: str, said: str) -> bool:
        """Ask a server no more that refuses everything; tells whether others are left, which go on."""
        if endpoint in self.endpoints and len(self.endpoints) > 1:
            self.endpoints.remove(endpoint)
            say(f"{shown(endpoint.url)} refuses every request to {name} ({said}): it is left out, the others go on.")
        return endpoint not in self.endpoints

    def given_up(self, seconds: float) -> bool:
        """Whether all have failed everything for so long."""
        return all(endpoint.breaker.given_up(seconds) for endpoint in self.endpoints)

    @property
    def heard(self) -> float | None:
        """When one of them last replied; None before any did."""
        # Of any: while one server answers, an error of another is no reason to end the run.
        return max((endpoint.heard for endpoint in self.endpoints if endpoint.heard is not None), default=None)

    @property
    def failing_for(self) -> float:
        """Seconds since any of them last worked."""
        return min(endpoint.breaker.failing_for for endpoint in self.endpoints)

    def told(self) -> str:
        """How many prompts each has answered, for people."""
        return ", ".join(f"{shown(url)} {count:,}" for url, count in self.answered.items())

    def _by_load(self, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
        # By share, not by number: a server that takes 4 at a time is full with what one of 64 hardly notices.
        return sorted(endpoints, key=lambda one: (one.gate.wanted / one.gate.places, self.answered[one.url]))

    def _works(self, endpoint: Endpoint) -> bool:
        if len(self.endpoints) == 1 or endpoint.breaker.failures < TWICE:
            return True
        if endpoint not in self._watched or self._watched[endpoint].done():
            self._watched[endpoint] = asyncio.create_task(self._watch(endpoint))
        return False

    async def _watch(self, endpoint: Endpoint) -> None:
        """Wait until the server is well again."""
        while endpoint.breaker.failures >= TWICE:
            await asyncio.sleep(PROBE_SECONDS)
            if await endpoint.well():
                endpoint.breaker.works()


class Route:
    """One prompt's place at a server; at another one, once the first has failed.

    Attributes:
        endpoint: the server.
        malformed: how many replies to this prompt were malformed.
    """

    def __init__(self, servers: Servers, endpoint: Endpoint, places: AsyncExitStack) -> None:
        """No place is taken yet."""
        self.endpoint = endpoint
        self.malformed = 0
        self._servers = servers
        self._places = places
        self._failed = False
        self._refused: set[Endpoint] = set()

    async def enter(self, endpoint: Endpoint, place: AbstractAsyncContextManager[None]) -> None:
        """Take a place at a server."""
        self.endpoint, self._failed = endpoint, False
        await self._places.enter_async_context(place)

    def failed(self, cause: str) -> None:
        """The server has just failed this prompt, or is too busy for it."""
        self._failed = True
        self.malformed += cause == "malformed"

    def wait(self, attempts: int) -> bool:
        """Whether to wait before the next attempt: not while there is a server that this prompt has not tried."""
        return attempts >= len(self._servers.endpoints) or self._servers.another(self.endpoint) is None

    async def elsewhere(self) -> bool:
        """Go to a server that has not refused this prompt; tells whether there is one that works."""
        self._refused.add(self.endpoint)
        if other := self._servers.another(*self._refused):
            await self._move(other)
        return other is not None

    async def turn(self) -> None:
        """Go to another server, if the last attempt failed here and there is one that works."""
        if self._failed and (other := self._servers.another(self.endpoint)):
            await self._move(other)

    async def _move(self, other: Endpoint) -> None:
        # The old place first: holding two, prompts on their way between full servers could wait for each other.
        await self._places.aclose()
        await self.enter(other, other.gate.place())


@cache
def _say_once(text: str) -> None:
    """Once a process: each run of a sweep meets the same server."""
    say(text)


def _alike(asked: str, said: str) -> bool:
    """Whether one name may be the other's: gpt-4o for gpt-4o-2024-08-06, a file's name for the file."""
    one, other, last, base = (
        re.sub(r"[^a-z0-9]+", "-", name.lower().removesuffix("-latest"))
        for name in (asked, said, asked.rpartition("/")[2], said.rpartition("/")[2])
    )
    # gpt-4o-mini begins as gpt-4o does, and is another model.
    same_size = SIZES.intersection(last.split("-")) == SIZES.intersection(base.split("-"))
    return same_size and (one in other or other in one or last in other)
