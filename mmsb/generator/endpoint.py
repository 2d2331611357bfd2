"""Pictures from any OpenAI-compatible images endpoint (`POST /images/generations`), several at a time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from mmsb.config import settings
from mmsb.errors import DataError, ModelError
from mmsb.generator.base import Batch, Drawn, Order
from mmsb.picture import decode
from mmsb.pipeline import each
from mmsb.secret import key_in, named_variable
from mmsb.types import Failure


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
        timeout: seconds for one request.
        retries: how often a request is repeated where the endpoint is busy or breaks off.
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
    timeout: PositiveFloat = 180
    retries: NonNegativeInt = 6
    extra: dict[str, Any] = Field(default_factory=dict)

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        """Refuse a key in place of a name, without showing it."""
        return named_variable(value, "generator.api_key_env")

    def fingerprint(self) -> dict[str, object]:
        """The model's name and everything that shapes a request."""
        # Only where it is sent: which seed a picture has is in its own record, whether the endpoint was told is not.
        seeded = {"send_seed": True} if self.send_seed else {}
        return {"engine": "images endpoint", "name": self.name, "size": self.size, "extra": self.extra, **seeded}

    def batches(self, orders: Sequence[Order]) -> list[Batch]:
        """Each picture by itself."""
        # No endpoint's pictures depend on one another.
        return [(order,) for order in orders]

    def draw(self, batches: Iterable[Batch]) -> Iterator[Drawn]:
        """Ask for the pictures, `concurrency` at a time.

        Raises:
            ModelError: the endpoint refuses the key, the model or a setting, before it drew anything.
        """
        # Streamed: `each` keeps `concurrency` of them under way, and a picture is on disk soon after it came.
        orders = (order for batch in batches for order in batch)
        yield from each(orders, _Session(self).draw, self.concurrency)

    def _request(self, order: Order) -> dict[str, Any]:
        extra = {**self.extra, **({"seed": order.seed} if self.send_seed else {})}
        return {"model": self.name, "prompt": order.prompt, "size": self.size, "n": 1, "extra_body": extra}

    def _read(self, reply: Any, order: Order) -> Any:
        """The picture in a reply. Links are not followed: they could lead anywhere."""
        data = reply.data[0].b64_json if reply.data else None
        if not data:
            return Failure(
                "malformed", "no picture in the reply; where it is a link, ask for b64_json by generator.extra"
            )
        try:
            return decode(base64.b64decode(data, validate=True), order.name)
        except (binascii.Error, DataError) as error:
            return Failure("malformed", str(error))


def moderated(error: Exception) -> bool:
    """Whether an endpoint refuses to draw this prompt, by the codes of its moderation."""
    code = str(getattr(error, "code", None) or "").lower()
    return any(word in code for word in ("content_policy", "moderation", "content_filter", "safety"))


@dataclass
class _Session:
    """What is known of the endpoint while it is asked."""

    settings: Endpoint
    drawn: bool = False

    @cached_property
    def _key(self) -> str | None:
        return key_in(self.settings.api_key_env)

    @cached_property
    def _client(self) -> Any:
        import openai

        made = self.settings
        return openai.AsyncOpenAI(
            base_url=made.base_url,
            api_key=self._key or "none",
            timeout=made.timeout,
            max_retries=made.retries,
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),  # nobody chose that other address
        )

    async def draw(self, order: Order) -> Drawn:
        import openai

        from mmsb.model.client_errors import client_error

        made = self.settings
        try:
            reply = await self._client.images.generate(**made._request(order))
        except openai.APIError as error:
            met = client_error(error, self._key)
            if moderated(error):
                return order, Failure("blocked", f"the endpoint's moderation refuses it: {met.message}")
            # Before the first picture a wrong address or name would fail 1,680 times over; after it, it is this
            # request's fault.
            if (met.unreachable and not self.drawn) or met.fatal(self.drawn):
                raise ModelError(
                    f"{made.base_url} draws nothing with {made.name}: {met.message}",
                    "Check generator.base_url, generator.name, generator.size and generator.api_key_env.",
                ) from error
            return order, Failure(met.cause, met.message)
        self.drawn = True
        return order, made._read(reply, order)
