"""Calls of a batch interface: repeated with patience; refused or unanswered, they say what that leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import httpx2
import openai
from openai.pagination import AsyncCursorPage
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from mmsb.errors import ModelError, StoreError
from mmsb.model.attempts import CONNECT_SECONDS, MALFORMED_TRIES, met_by, note, wait, worth_another
from mmsb.model.batch_state import State, state_of
from mmsb.model.client_errors import client_error
from mmsb.model.endpoint import Endpoint
from mmsb.model.request_errors import RequestError, malformed
from mmsb.replies import Malformed, shown_bytes

if TYPE_CHECKING:
    from openai.types import Batch

    from mmsb.model.openai import OpenAI

T = TypeVar("T")
GONE = (404, 410)
START_TRIES = 3  # attempts to reach an endpoint that has never been heard
SLOWEST = 1_000  # bytes a second of a file that is fetched, after `timeout`
SENT = 20_000  # bytes a second of a file that is brought there, before `timeout`
TAKEN_IN = 2.0  # seconds between two looks at a file that the server is not through with
UNREADY = ("pending", "running", "notrunning")  # Azure's words for one; OpenAI takes a file at once


class BatchCalls:
    """What makes them, for one engine."""

    def __init__(self, settings: OpenAI, endpoint: Endpoint) -> None:
        """Nothing is sent yet."""
        self._settings = settings
        self._endpoint = endpoint
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.url,
            api_key=endpoint.key or "none",
            # The client's own two retries would come on top of ours, and know nothing of patience or of what other
            # processes do.
            max_retries=0,
            # Between two pieces; the client's own ten minutes are two thirds of the patience.
            timeout=httpx2.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            http_client=openai.DefaultAioHttpClient(follow_redirects=False),  # nobody chose that other address
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def upload(self, path: Path, name: str) -> str:
        """Bring a file of requests there under this name; gives the server's name of it.

        Raises:
            Malformed: the reply names none.
        """
        # Of the whole, here and below: a server may send a byte of its reply now and then.
        seconds = self._settings.timeout + path.stat().st_size / SENT
        with path.open("rb") as file:
            async with asyncio.timeout(seconds):
                made = await self._client.files.create(file=(name, file, "application/jsonl"), purpose="batch")
        if not isinstance(found := getattr(made, "id", None), str):
            raise Malformed(f"not a file: {shown_bytes(str(made).encode())}")
        deadline, status = time.monotonic() + self._settings.patience, getattr(made, "status", None)
        # Submitted before it is taken in, it would be refused for good.
        while str(status).lower() in UNREADY and time.monotonic() < deadline:
            await asyncio.sleep(TAKEN_IN)
            async with asyncio.timeout(self._settings.timeout):
                status = (await self._client.files.retrieve(found)).status
        return found

    async def submit(self, file: str, url: str) -> State:
        """Have a file of requests, all for one endpoint, answered as a batch.

        Raises:
            Malformed: the reply is no batch.
        """
        async with asyncio.timeout(self._settings.timeout):
            made = await self._client.batches.create(
                input_file_id=file,
                endpoint=url,  # type: ignore[arg-type]
                completion_window="24h",
            )
        return state_of(made)

    async def look(self, batch: str) -> State:
        """How a batch stands.

        Raises:
            Malformed: the reply is no batch.
        """
        async with asyncio.timeout(self._settings.timeout):
            return state_of(await self._client.batches.retrieve(batch))

    async def of_file(self, file: str) -> State | None:
        """The batch that was made of a file of requests; None where the server lists none.

        Raises:
            Malformed: the reply is no list, which must not read as a list without it.
        """
        async with asyncio.timeout(self._settings.timeout):
            async for batch in await self._list(100):
                if batch.input_file_id == file:
                    return state_of(batch)
        return None

    async def there(self) -> None:
        """See that there is such an interface, which costs nothing.

        Raises:
            Malformed: the reply is no list of batches.
        """
        async with asyncio.timeout(self._settings.timeout):
            await self._list(1)

    async def _list(self, most: int) -> AsyncCursorPage[Batch]:
        page = await self._client.batches.list(limit=most)
        if not isinstance(page, AsyncCursorPage) or not isinstance(page.data, list):
            raise Malformed("not a list of batches")
        return page

    async def save(self, file: str, path: Path) -> None:
        """Fetch a file.

        Raises:
            TimeoutError: it comes in drops.
            StoreError: it cannot be written here.
        """
        started, size = time.monotonic(), 0
        async with (
            asyncio.timeout(self._settings.timeout) as headers,
            self._client.files.with_streaming_response.content(file) as content,
        ):
            headers.reschedule(None)
            with path.open("wb") as out:
                async for piece in content.iter_bytes():
                    size += len(piece)
                    try:
                        out.write(piece)
                        out.flush()
                    except OSError as error:
                        raise StoreError.writing(path, error) from error
                    # No limit on the whole: a file may have gigabytes.
                    if size < SLOWEST * (time.monotonic() - started - self._settings.timeout):
                        raise TimeoutError

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
        except TimeoutError as error:
            raise RequestError("timeout", f"no whole reply within {self._settings.timeout:g} s") from error
        # OpenAI's client takes for granted that what calls itself JSON is, and a list a list.
        except (AttributeError, ValueError) as error:
            raise malformed(Malformed(f"not a reply of this interface ({error})"), self._endpoint.key) from error
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
