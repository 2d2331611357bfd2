"""A real OpenAI-compatible images endpoint on loopback."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

from aiohttp import web
from PIL import Image

from tests.endpoint import Act, ChatServer, error


class ImagesServer(ChatServer):
    """It draws stripes, refuses what mentions a slice, and has a link for what is eaten."""

    def __init__(
        self, act: Callable[[str, int], Act | None] = lambda prompt, attempt: None, delay: float = 0.0
    ) -> None:
        super().__init__(act=lambda prompt, attempt: act(prompt, attempt) or drawn(prompt, delay))

    def routes(self, router: web.UrlDispatcher) -> None:
        super().routes(router)
        router.add_post("/v1/images/generations", self._handle)


def drawn(prompt: str, delay: float) -> Act:
    """What becomes of a prompt."""
    if "slice" in prompt:
        return error(400, "not this", "moderation_blocked")
    if "eat" in prompt:
        return Act(body={"created": 0, "data": [{"url": "http://elsewhere/picture.png"}]}, delay=delay)
    return Act(body=picture(sum(prompt.encode()) % 360), delay=delay)


def picture(turned: int) -> dict[str, object]:
    """The body of a reply."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").rotate(turned).save(buffer, "PNG")
    return {"created": 0, "data": [{"b64_json": base64.b64encode(buffer.getvalue()).decode()}]}
