"""Calls of a batch interface: repeated with patience; refused or unanswered, they say what that leaves."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import httpx2
import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from mmsb.errors import ModelError
from mmsb.model.attempts import MALFORMED_TRIES, met_by, note, wait, worth_another
from mmsb.model.client_errors import client_error
from mmsb.model.endpoint import Endpoint
from mmsb.model.request_errors import RequestError, malformed
from mmsb.replies import Malformed

if TYPE_CHECKING:
    from openai.types import Batch

    from mmsb.model.openai import OpenAI

T = TypeVar("T")
ENDED = ("completed", "failed", "expired", "cancelled")
GONE = (404, 410)
START_TRIES = 3  # attempts to reach an endpoint that has never been heard


class BatchCalls:
    """What makes them, for one engine.

    Attributes:
        client: OpenAI's own.
    """

    def __init__(self, settings: OpenAI, endpoint: Endpoint) -> None:
        """Nothing is sent yet."""
        self._settings = settings
        self._endpoint = endpoint
        self.client = openai.AsyncOpenAI(
            base_url=endpoint.url,
            api_key=endpoint.key or "none",
            # The client's own two retries would come on top of ours, and know nothing of patience or of what other
            # processes do.
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(follow_redirects=False),  # nobody chose that other address
        )

    async def patiently(self, call: Callable[[], Awaitable[T]], state: str, record: Path | None = None) -> T:
        """Make a call of the batch interface, again and again within patience.

        Args:
            call: makes it.
            state: what is left where it fails.
            record: what names the batch here, of a call that is about one at the server.

        Raises:
            ModelError: it is refused, or there is no reply.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(worth_another), wait=wait, stop=self._stop, before_sleep=note, reraise=True
        )
        try:
            return await retrying(self._once, call)
        except RequestError as met:
            if record and met.status in GONE:
                raise ModelError(
                    f"{self._settings.shown_url} does not have it any more: {met} ({state})",
                    f"Servers delete batches and their files after some weeks. Delete {record}: the same command then "
                    "submits its prompts again, and they are paid again.",
                ) from met
            raise ModelError(
                f"the batch interface of {self._settings.shown_url} does not serve: {met} ({state})",
                "Check base_url, key and account, then run the same command: it goes on where this ended. Many servers "
                "have no batch interface: set batch=false.",
            ) from met

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await call()
        except openai.APIError as error:
            # Any reply shows that something listens, be it a refusal.
            if isinstance(error, openai.APIStatusError):
                self._endpoint.heard = time.monotonic()
            raise client_error(error, self._endpoint.key) from error
        except Malformed as error:
            raise malformed(error, self._endpoint.key) from error
        except (aiohttp.ClientError, httpx2.RequestError) as error:  # while a body is read
            raise malformed(Malformed(f"not HTTP: {error}"), self._endpoint.key) from error
        self._endpoint.heard = time.monotonic()
        return result

    def _stop(self, state: RetryCallState) -> bool:
        met = met_by(state)
        # An address that never answered is more likely mistyped than down: no patience for it.
        if met.unreachable and self._endpoint.heard is None:
            return state.attempt_number >= START_TRIES
        if met.cause == "malformed" and state.attempt_number >= MALFORMED_TRIES:
            return True
        return (state.seconds_since_start or 0) + state.upcoming_sleep > self._settings.patience


def state_of(batch: Batch, prompts: int, url: str) -> str:
    """A line about a batch at the server of this URL, for the person who waits."""
    counts = batch.request_counts
    done = f", {counts.completed:,} answered, {counts.failed:,} failed" if counts else ""
    line = f"batch {batch.id} at {url}: {prompts:,} prompt{'s' * (prompts != 1)}, {batch.status}{done}"
    return line if batch.status in ENDED else f"{line} (Ctrl-C leaves it there; the same command collects it)"
