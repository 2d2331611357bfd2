"""Any OpenAI-compatible endpoint: OpenAI itself, vLLM, SGLang, Ollama, OpenRouter, `transformers serve`, ...

    python -m mmsb model=vllm model.name=Qwen/Qwen3-VL-8B-Instruct

Requests run side by side, and each is repeated within `patience` when the endpoint is busy or breaks off. A prompt
that gets no answer is a Failure; an endpoint that no prompt could get an answer from stops the run.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from mmsb.config import settings
from mmsb.console import say
from mmsb.digest import digest_folder
from mmsb.errors import ConfigError, ModelError
from mmsb.model.card import Card
from mmsb.model.chat import TooLarge, chat_request, read_reply
from mmsb.model.completions import as_guard, completion_request, read_completion
from mmsb.model.route import Servers
from mmsb.model.sampling import check_endpoint
from mmsb.model.urls import check_url, is_url, refuse_path, shown
from mmsb.picture import Picture, jpeg
from mmsb.secret import blotted, key_in, named_variable
from mmsb.serve.running import running, serving
from mmsb.serve.settings import Server
from mmsb.types import Outcome, Prompt, Response

if TYPE_CHECKING:
    from mmsb.model.endpoints import Endpoints

OPENAI_URL = "https://api.openai.com/v1"


@settings
class OpenAI:
    """A model behind an OpenAI-compatible chat-completions endpoint.

    Attributes:
        name: the model's name at the endpoint.
        base_url: the endpoint, usually ending in /v1; None: the variable OPENAI_BASE_URL, or OpenAI itself. A list:
            servers of one and the same model, which share the prompts; answers are stored under the first.
        api_key_env: the NAME of the environment variable that holds the key; None where no key is needed.
        serve: whether the server is started for the run, on a free port of this machine, and stopped with it.
        server: how it is started; told when nothing answers.
        concurrency: requests at a time.
        requests_per_second: at most so many are started; None for no limit.
        tokens_per_minute: of prompts and answers, guessed before and corrected by what replies count.
        timeout: seconds for one request.
        patience: seconds within which a prompt is asked again; then it fails.
        hedge_after: seconds after which a request without an answer gets a second one beside it; None: never.
        give_up: seconds after which an endpoint that fails everything (not refuses) ends the run.
        max_tokens: the longest answer, in tokens, thinking included.
        max_tokens_parameter: what the endpoint calls it.
        temperature: None leaves it to the endpoint (some models take no other).
        top_p: None leaves it to the endpoint.
        seed: sent where not None, plus the number of the repeat.
        detail: OpenAI's image detail.
        max_image_side: pixels; larger pictures are scaled down to it and sent as JPEG. None: as they are.
        max_image_bytes: a picture whose file is larger fails, unsent. None: no limit.
        batch: whether prompts go through the batch interface (files, batches): half the price, within a day.
        extra_body: further fields of the request, e.g. chat_template_kwargs of vLLM.
        adds_first_token: whether its /completions puts the model's first token before every text, as SGLang's and
            llama.cpp's do: a guard's own format goes there without it.
        repeats: how many times each prompt is asked; above 1 only with sampling.
        card: licence and what has been checked, where a preset gives it; changes no answer.
    """

    name: str = Field(min_length=1)
    base_url: str | tuple[str, ...] | None = None
    api_key_env: str | None = "OPENAI_API_KEY"
    serve: bool = False
    server: Server | None = None
    concurrency: PositiveInt = 32
    requests_per_second: PositiveFloat | None = None
    tokens_per_minute: PositiveFloat | None = None
    timeout: PositiveFloat = 300
    patience: PositiveFloat = 900
    hedge_after: PositiveFloat | None = None
    give_up: PositiveFloat = 60
    max_tokens: PositiveInt = 512
    max_tokens_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    # Sent, not left out: the default of most endpoints samples.
    temperature: float | None = Field(default=0, ge=0)
    top_p: float | None = None
    seed: int | None = None
    detail: Literal["low", "high", "auto"] | None = None
    max_image_side: PositiveInt | None = None
    max_image_bytes: PositiveInt | None = None
    batch: bool = False
    extra_body: dict[str, Any] = Field(default_factory=dict)
    adds_first_token: bool = False
    repeats: PositiveInt = 1
    card: Card | None = None

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        """Refuse a key in place of a name, without showing it."""
        return named_variable(value, "model.api_key_env")

    @field_validator("base_url")
    @classmethod
    def _is_a_plain_url(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        """Refuse what is no URL, user names and passwords in one, and a list without or with equal ones."""
        urls = (value,) if isinstance(value, str) else value
        if urls is None:
            return None
        if not urls or len({url.rstrip("/") for url in urls}) < len(urls):
            raise ConfigError(f"base_url={list(urls)}: nothing, or a server twice", "Name each server once.")
        for url in urls:
            check_url(url)
        return value

    def __post_init__(self) -> None:
        """Refuse what would change nothing.

        Raises:
            ConfigError: repeats of one answer, limits on sampling without it, a server that nobody can start,
                batches where they cannot be, or an OPENAI_BASE_URL that is none.
        """
        place = os.environ.get("OPENAI_BASE_URL")
        if place and not self.base_url and not self.serve and not is_url(place):
            told = "" if "@" in place else f"={place}"  # a password may stand in it
            raise ConfigError(
                f"the environment variable OPENAI_BASE_URL{told} is not a URL",
                "Give it like http://localhost:8000/v1, or set model.base_url.",
            )
        if place and not self.base_url and not self.serve:
            refuse_path(place)
        if self.serve and self.server is None:
            raise ConfigError(
                "serve=true, but this preset has no server that could be started",
                "Use model=vllm, sglang, transformers_serve or ollama.",
            )
        several = not isinstance(self.base_url, str | None)
        # Refused rather than ignored: whoever set a limit believes that it is kept.
        if self.batch and (self.serve or self.requests_per_second or self.tokens_per_minute or several):
            raise ConfigError(
                "batch=true submits files to one provider's batch interface: serve, requests_per_second, "
                "tokens_per_minute and several URLs mean nothing",
                "Leave them out, or set batch=false.",
            )
        if self.batch and self.hedge_after:
            raise ConfigError("batch=true makes no requests that could be late", "Leave hedge_after out.")
        check_endpoint(self.temperature, self.top_p, self.repeats, self.extra_body)

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs that are asked: mostly one."""
        if self.serve and self.server:
            return (running(self.server, self.name).url,)
        # As OpenAI's own client does, so that one environment serves both.
        given = self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        return (given,) if isinstance(given, str) else given

    @property
    def shown_url(self) -> str:
        """The first URL for people."""
        return blotted(shown(self.urls[0]), self.key())

    @property
    def _place(self) -> str:
        # It stands in run.json and in tables. The first server stands for all: which one answers changes nothing, and
        # adding one asks nothing again.
        return self.shown_url.partition("://")[2]

    def key(self) -> str | None:
        """The key, from the environment."""
        return key_in(self.api_key_env)

    def fingerprint(self) -> dict[str, object]:
        """The endpoint's host and path, the model's name, and everything that shapes a request."""
        return {
            "engine": type(self).__name__,
            # Without concurrency, timeouts or prices: what changes no answer must not ask all of them again.
            "endpoint": self._served() if self.serve else self._place,
            "body": self._body(),
            "detail": self.detail,
            "max_image_side": self.max_image_side,
            # Only where it is so: it changes nothing of what other servers were asked.
            **({"adds_first_token": True} if self.adds_first_token else {}),
        }

    @asynccontextmanager
    async def session(self, endpoints: Endpoints) -> AsyncIterator[Callable[[Prompt], Awaitable[Outcome]]]:
        """What answers prompts, through the client and within the limits that all engines at this endpoint share."""
        from mmsb.model.requests import Requests

        if self.batch:
            from mmsb.model.batches import Batches

            shelf, endpoint = endpoints.shelf(self), endpoints.of(self)[0]
            async with Batches(self, endpoint, shelf, lambda: endpoints.asking) as batches:
                yield batches.ask
            return
        async with (
            serving(self.server, self.name) if self.serve and self.server else nullcontext(),
            Servers(endpoints.of(self)) as servers,
        ):
            yield Requests(self, servers, lambda: len(endpoints.shelf(self)) > 0, endpoints.pay).ask
            if len(servers.endpoints) > 1:
                # Only where there were several: which share each took is what one looks for when one of them was slow.
                say(f"{self.name} was answered by {servers.told()}")

    def dead(self) -> ModelError | None:
        """Why the server that was started for this does not run any more."""
        return running(self.server, self.name).dead() if self.serve and self.server else None

    def _served(self) -> list[str]:
        """What determines the answers of a server of our own: how it is started, not its port; the weights on disk."""
        assert self.server is not None
        folder = Path(self.name).expanduser()
        weights = [digest_folder(folder)] if folder.is_dir() else []
        return [self.server.start_command(self.name), *self.server.arguments, *weights]

    def path_of(self, prompt: Prompt) -> str:
        """Where a prompt is sent: a text that is whole as it is must meet no chat template on its way."""
        return "/completions" if prompt.how and prompt.how.whole else "/chat/completions"

    def _body(self, repeat: int = 0) -> dict[str, Any]:
        """The request without its messages."""
        sampling = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            # One seed for all repeats would give one answer many times, at endpoints that honour it.
            "seed": None if self.seed is None else self.seed + repeat,
        }
        return {
            "model": self.name,
            self.max_tokens_parameter: self.max_tokens,
            **{name: value for name, value in sampling.items() if value is not None},
            **self.extra_body,
        }

    def read(self, content: bytes, prompt: Prompt) -> Response:
        """The body of a reply to a prompt as a Response.

        Raises:
            Malformed: it is not one.
        """
        if prompt.how is None:
            return read_reply(content)
        if not prompt.how.whole:
            return read_reply(content, prompt.how)
        return read_completion(content, prompt.how, "" if self.adds_first_token else prompt.text)

    def request(self, prompt: Prompt) -> bytes:
        """The body of the request for a prompt.

        Raises:
            DataError: the picture cannot be read.
            TooLarge: it has more than `max_image_bytes`.
        """
        body = self._body(prompt.repeat)
        if prompt.how:
            body = as_guard(body, prompt.how, self.max_tokens_parameter)
            if prompt.how.whole:
                return completion_request(prompt, body, self.adds_first_token)
        picture = self._picture(prompt.image) if prompt.image else None
        return chat_request(prompt, picture, self.detail, body)

    def _picture(self, picture: Picture) -> tuple[bytes, str]:
        # The file as it lies on disk where nothing is changed: decoding and encoding again would show other pixels.
        data, media_type = picture.encoded()
        if self.max_image_side:
            image = picture.load()
            if max(image.size) > self.max_image_side:
                image.thumbnail((self.max_image_side, self.max_image_side))
                data, media_type = jpeg(image), "image/jpeg"
        if self.max_image_bytes and len(data) > self.max_image_bytes:
            raise TooLarge(f"the picture has {len(data):,} bytes; max_image_bytes is {self.max_image_bytes:,}")
        return data, media_type
