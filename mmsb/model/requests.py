"""Asking endpoints for answers: requests, repeated with patience, at a limited rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mmsb.model.attempts import Attempts
from mmsb.model.endings import filtered
from mmsb.model.hedge import hedged
from mmsb.model.pace import Estimate
from mmsb.model.request_errors import RequestError
from mmsb.model.route import Route, Servers
from mmsb.picture import FilePicture
from mmsb.types import Prompt, Response

if TYPE_CHECKING:
    from mmsb.model.endpoint import Endpoint
    from mmsb.model.openai import OpenAI


class Requests(Attempts[Prompt, Response]):
    """Prompts of one engine."""

    longest = 4_000_000  # a hundred thousand tokens, each letter of them escaped

    def __init__(
        self,
        settings: OpenAI,
        servers: Servers,
        known: Callable[[], bool] = lambda: True,
        pay: Callable[[str, Response], None] = lambda model, response: None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            settings: the engine's.
            servers: where it asks.
            known: whether there are answers of an earlier run.
            pay: told of a reply that nobody asked for.
        """
        super().__init__(settings, servers)
        self._known = known
        self._pay = pay
        self._settings = settings
        self._estimate = Estimate(settings.max_tokens)

    async def _body(self, asked: Prompt) -> bytes:
        # A file goes out as it lies there, which is quicker than a thread's turn.
        if asked.image is None or (isinstance(asked.image, FilePicture) and not self._settings.max_image_side):
            return self._settings.request(asked)
        # A picture that must be drawn or decoded first would keep the loop.
        return await asyncio.to_thread(self._settings.request, asked)

    def _path(self, asked: Prompt) -> str:
        return self._settings.path_of(asked)

    def _read(self, content: bytes, asked: Prompt) -> Response:
        return self._settings.read(content, asked)

    def _refusal(self, error: object, met: RequestError) -> Response | None:
        return Response("", "content_filter") if filtered(error) else None

    async def _refuses_all(self, endpoint: Endpoint) -> bool:
        if (before := self._answered) is None:
            # Earlier answers count: of a run begun again only those prompts may be left that a filter refuses.
            return not self._known()
        # A filter may refuse a whole scenario. Only what was answered before tells it from a server that has changed.
        endpoint.begin()
        try:
            reply = await self._attempt(endpoint, await self._body(before), before)
        except RequestError as met:
            return self._in_vain(met)
        self._pay(self._settings.name, reply)
        return False

    def _tokens(self, asked: Prompt) -> float:
        return self._estimate.of(asked)

    def _counted(self, endpoint: Endpoint, asked: Prompt, reply: Response, expected: float, seconds: float) -> Response:
        # Only of replies: of what failed nobody says what it took.
        endpoint.pace.correct(expected, reply)
        self._estimate.learn(asked, reply)
        return replace(reply, seconds=seconds)

    async def _made(self, body: bytes, asked: Prompt, route: Route) -> Response:
        """One request, with a second one beside it where that is wanted."""
        if self._settings.hedge_after is None:
            return await self._noted(route.endpoint, body, asked)
        return await hedged(
            lambda endpoint: self._noted(endpoint, body, asked),
            route.endpoint,
            self._servers,
            self._settings.hedge_after,
        )
