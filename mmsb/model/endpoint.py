"""An endpoint, as all who ask there share it.

Client, connections and limits belong to the endpoint, so that a target, its judge and its defenses that ask the same
server stay within one limit together.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp

from mmsb.errors import StoreError
from mmsb.model.awake import Awake
from mmsb.model.governor import Breaker, Gate
from mmsb.model.http import Client
from mmsb.model.limits import Limits, Shared
from mmsb.model.pace import Pace

WELL_SECONDS = 5.0  # for the list of its models
_learned: dict[Path, float] = {}  # how many places endpoints bore that had been too busy for more, by their folder


class Endpoint:
    """One endpoint (URL and key): its client, and what all engines that ask there have to share.

    Attributes:
        url: of it.
        gate: lets so many requests through at a time as the server bears.
        breaker: knows when the server fails everything.
        awake: what is waited for here is measured by it.
        begin: called before a prompt is asked; raises where nothing more may be spent.
        pace: lets one request begin after the other, where a rate is set.
        heard: when the server last replied, be it with an error; None before it did.
        stopped: why nothing more is sent, whoever asks; None while it is.
    """

    def __init__(
        self, url: str, key: str | None, limits: Limits, folder: Path, begin: Callable[[], None], awake: Awake
    ) -> None:
        """Nothing is sent yet. `folder` is where processes that ask here share the limits."""
        self.url = url
        self.awake = awake
        self.begin = begin
        self.key = key
        self._shared = Shared(folder, limits)
        self._folder = folder.absolute()
        self.gate = Gate(limits.places, self._shared.share, awake.beat)
        # The next run of a sweep would else begin by being refused as often as the one before it.
        self.gate.places = min(self.gate.places, _learned.get(self._folder, self.gate.places))
        self.breaker = Breaker(awake.now)
        self.pace = Pace(self._shared)
        self.client = Client(url, key, self.pace.start if limits.requests else None)
        self.heard: float | None = None
        self.stopped: StoreError | None = None

    async def well(self) -> bool:
        """Whether it answers anything at all; asked for its models, which costs nothing."""
        try:
            # A 404 is well too: some servers have no list of models.
            return await self.client.status("/models", WELL_SECONDS) < 500
        except (aiohttp.ClientError, OSError):
            return False

    async def close(self) -> None:
        """Let go of the client, and of what processes share; how many places it bears is known to the next run."""
        if self.gate.limited:
            _learned[self._folder] = self.gate.places
        else:
            _learned.pop(self._folder, None)
        self.gate.close()
        self._shared.close()
        await self.client.close()
