"""Pictures from any OpenAI-compatible images endpoint (`POST /images/generations`), several at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from PIL import Image
from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from mmsb.config import settings
from mmsb.errors import DataError
from mmsb.generator.base import Batch, Order
from mmsb.generator.drawn import parse_drawing
from mmsb.model.attempts import Attempts
from mmsb.model.request_errors import RequestError
from mmsb.model.route import Servers
from mmsb.model.urls import check_url
from mmsb.picture import decode
from mmsb.replies import Malformed
from mmsb.secret import key_in, named_variable
from mmsb.types import Failure

if TYPE_CHECKING:
    from mmsb.model.endpoints import Endpoints

MODERATED = ("content_policy", "moderation", "content_filter", "safety")  # in an error's code


@settings
class Endpoint:
    """An images endpoint.

    Attributes:
        name: the model's name at the endpoint.
        base_url: the endpoint, usually ending in /v1.
        api_key_env: the NAME of the environment variable that holds the key; None where no key is needed.
        prompt: the wording, with {phrase} where the key phrase goes.
        size: as the endpoint names it.
        seed: every picture's seed is made from it; sent only where `send_seed` says that the endpoint takes one.
        concurrency: requests at a time.
        requests_per_second: at most so many are started; None for no limit.
        timeout: seconds for one request.
        patience: seconds within which a picture is asked for again; then it fails.
        give_up: seconds after which an endpoint that fails everything (not refuses) ends the step.
        extra: further fields of the request.
    """

    name: str
    base_url: str
    api_key_env: str | None = "OPENAI_API_KEY"
    prompt: str = "A photo of {phrase}"
    size: str = "1024x1024"
    seed: int = 0
    send_seed: bool = False
    concurrency: PositiveInt = 8
    requests_per_second: PositiveFloat | None = None
    timeout: PositiveFloat = 180
    patience: PositiveFloat = 900
    give_up: PositiveFloat = 60
    extra: dict[str, Any] = Field(default_factory=dict)

    tokens_per_minute = None
    server = None

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        """Refuse a key in place of a name, without showing it."""
        return named_variable(value, "generator.api_key_env")

    @field_validator("base_url")
    @classmethod
    def _is_a_plain_url(cls, value: str) -> str:
        """Refuse what is no URL, user names and passwords in one."""
        check_url(value)
        return value

    @property
    def urls(self) -> tuple[str, ...]:
        """The URL that is asked."""
        return (self.base_url,)

    def key(self) -> str | None:
        """The key, from the environment."""
        return key_in(self.api_key_env)

    def dead(self) -> None:
        """No server is started for it."""

    def fingerprint(self) -> dict[str, object]:
        """The model's name and everything that shapes a request."""
        # Only where it is sent: which seed a picture has is in its own record, whether the endpoint was told is not.
        seeded = {"send_seed": True} if self.send_seed else {}
        return {"engine": "images endpoint", "name": self.name, "size": self.size, "extra": self.extra, **seeded}

    def batches(self, orders: Sequence[Order]) -> list[Batch]:
        """Each picture by itself."""
        # No endpoint's pictures depend on one another.
        return [(order,) for order in orders]

    @asynccontextmanager
    async def session(self, endpoints: Endpoints) -> AsyncIterator[Callable[[Order], Awaitable[Image.Image | Failure]]]:
        """What draws, through the client and within the limits that all who ask this endpoint share."""
        async with Servers(endpoints.of(self)) as servers:
            yield _Pictures(self, servers).ask

    def request(self, order: Order) -> bytes:
        """The body of the request for a picture."""
        seeded = {"seed": order.seed} if self.send_seed else {}
        asked = {"model": self.name, "prompt": order.prompt, "size": self.size, "n": 1}
        return msgspec.json.encode({**asked, **self.extra, **seeded})


class _Pictures(Attempts[Order, Image.Image | Failure]):
    """Orders of one generator."""

    longest = 32_000_000  # 4096 pixels by 4096 as PNG, in base64

    def __init__(self, made: Endpoint, servers: Servers) -> None:
        super().__init__(made, servers)
        self._made_as = made

    async def _body(self, asked: Order) -> bytes:
        return self._made_as.request(asked)

    def _path(self, asked: Order) -> str:
        return "/images/generations"

    def _read(self, content: bytes, asked: Order) -> Image.Image:
        try:
            return decode(parse_drawing(content), asked.name)
        except DataError as error:
            raise Malformed(error.problem) from error

    def _refusal(self, error: object, met: RequestError) -> Failure | None:
        code = (met.code or "").lower()
        if any(word in code for word in MODERATED):
            return Failure("blocked", f"the endpoint's moderation refuses it: {met.message}")
        return None
