"""The endpoints of a run: one client and one limit for each, whoever asks there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mmsb.digest import digest
from mmsb.model.awake import Awake
from mmsb.model.limits import Limits

if TYPE_CHECKING:
    from mmsb.errors import StoreError
    from mmsb.model.base import Engine
    from mmsb.model.endpoint import Endpoint
    from mmsb.store import Shelf
    from mmsb.types import Outcome

FOLDER = "endpoints"  # in a store: who shares answers shares limits
TOGETHER = 50_000  # prompts that wait for batches at a time: a whole file


@runtime_checkable
class Remote(Protocol):
    """Settings of what asks an endpoint, as far as they are limits."""

    @property
    def concurrency(self) -> int:
        """Requests at a time."""
        ...

    @property
    def requests_per_second(self) -> float | None:
        """Requests that are begun in a second; None for no limit."""
        ...

    @property
    def tokens_per_minute(self) -> float | None:
        """Tokens of prompts and answers in a minute; None for no limit."""
        ...

    @property
    def urls(self) -> tuple[str, ...]:
        """Its servers: mostly one."""
        ...

    def key(self) -> str | None:
        """The key, from the environment."""
        ...


class Endpoints:
    """The endpoints of a run. Engines with the same URL and key share one, with the strictest of their limits.

    So do all processes that share the folder.
    """

    def __init__(
        self,
        engines: Iterable[Engine],
        shelf: Callable[[Engine], Shelf],
        folder: Path,
        begin: Callable[[], None] = lambda: None,
        computing: Callable[[], bool] = lambda: False,
        pay: Callable[[str, Outcome], None] = lambda model, outcome: None,
    ) -> None:
        """Nothing is open yet.

        Args:
            engines: all that will ask, as far as they are known.
            shelf: where the answers of one are kept.
            folder: of what processes share about endpoints.
            begin: called before a request; it may refuse that.
            computing: whether a local model is at work beside them.
            pay: counts what a model was asked beside the prompts that it is given, and pays for it.
        """
        self.shelf = shelf
        self.pay = pay
        self._folder = folder
        self._batched = 0
        self._begin = begin
        self._computing = computing
        self._awake = Awake()
        self._limits: dict[tuple[str, str | None], Limits] = {}
        self._open: dict[tuple[str, str | None], Endpoint] = {}
        for engine in engines:
            if isinstance(engine, Remote):
                self._expect(engine)
                self._batched += bool(getattr(engine, "batch", False))

    @property
    def at_a_time(self) -> int:
        """Prompts that may be under way at all endpoints together."""
        return sum(limits.places for limits in self._limits.values()) + self._batched * TOGETHER

    @property
    def asking(self) -> bool:
        """Whether a request, or a local model, is under way: what it brings may lead to further prompts."""
        return self._computing() or any(endpoint.gate.wanted for endpoint in self._open.values())

    def of(self, engine: Remote) -> list[Endpoint]:
        """The engine's endpoints, one a server."""
        from mmsb.model.endpoint import Endpoint

        # One that was not named at the start has limits too.
        self._expect(engine)
        for place in _places(engine):
            if place not in self._open:
                # A digest, since the place holds the key.
                folder = self._folder / digest(place)[:16]
                self._open[place] = Endpoint(*place, self._limits[place], folder, self._begin, self._awake)
        return [self._open[place] for place in _places(engine)]

    def stop(self, error: StoreError) -> None:
        """Send nothing more: an answer could not be written down, and the next would be paid for and lost."""
        for endpoint in self._open.values():
            endpoint.stopped = error

    async def close(self) -> None:
        """Close all clients."""
        for endpoint in self._open.values():
            await endpoint.close()

    def _expect(self, engine: Remote) -> None:
        limits = Limits(engine.concurrency, engine.requests_per_second, engine.tokens_per_minute)
        for place in _places(engine):
            self._limits[place] = limits.strictest(self._limits.get(place, limits))


def _places(engine: Remote) -> list[tuple[str, str | None]]:
    """What makes two engines ask the same endpoint: URL (a slash at its end is none) and key."""
    return [(url.rstrip("/"), engine.key()) for url in engine.urls]
