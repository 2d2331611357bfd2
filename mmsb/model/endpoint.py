"""Asking endpoints: requests, repeated with patience, at a limited rate.

Client, connections and limits belong to the endpoint, so that a target, its judge and its defenses that ask the same
server stay within one limit together.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from mmsb.errors import DataError, ModelError, StoreError
from mmsb.model.chat import TooLarge, filtered
from mmsb.model.governor import Breaker, Gate
from mmsb.model.hedge import hedged
from mmsb.model.hopeless import hopeless
from mmsb.model.http import Client
from mmsb.model.limits import Limits, Shared
from mmsb.model.pace import Estimate, Pace
from mmsb.model.request_errors import RequestError, lost, malformed, refused
from mmsb.model.route import Route, Servers
from mmsb.picture import FilePicture
from mmsb.replies import Malformed, Refused
from mmsb.secret import without_keys
from mmsb.types import Failure, Outcome, Prompt, Response

if TYPE_CHECKING:
    from mmsb.model.openai import OpenAI

CONNECT_SECONDS = 10.0
FIRST_CONNECT_SECONDS = 4.0  # of an endpoint that has never been heard: a lost packet is sent again after 1 and 3
START_SECONDS = 2.0  # within which one that has never been heard must be there; `serve=true` waits for its own server
WELL_SECONDS = 5.0  # for the list of its models
MALFORMED_TRIES = 3  # each may cost money
JITTER = 1.0  # seconds; so that those who were sent away together do not come back together
back_off = wait_exponential_jitter(multiplier=0.5, max=30, jitter=JITTER)  # seconds between attempts

log = logging.getLogger(__name__)


class Endpoint:
    """One endpoint (URL and key): its client, and what all engines that ask there have to share.

    Attributes:
        url: of it.
        gate: lets so many requests through at a time as the server bears.
        breaker: knows when the server fails everything.
        begin: called before a prompt is asked; raises where nothing more may be spent.
        pace: lets one request begin after the other, where a rate is set.
        heard: when the server last replied, be it with an error; None before it did.
        stopped: why nothing more is sent, whoever asks; None while it is.
    """

    def __init__(self, url: str, key: str | None, limits: Limits, folder: Path, begin: Callable[[], None]) -> None:
        """Nothing is sent yet. `folder` is where processes that ask here share the limits."""
        self.url = url
        self.begin = begin
        self.key = key
        self._shared = Shared(folder, limits)
        self.gate = Gate(limits.places, self._shared.share)
        self.breaker = Breaker()
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
        """Let go of the client, and of what processes share."""
        self.gate.close()
        self._shared.close()
        await self.client.close()


class Requests:
    """What one engine asks of its servers: mostly one."""

    def __init__(self, settings: OpenAI, servers: Servers) -> None:
        """Nothing is sent yet."""
        self._settings = settings
        self._servers = servers
        self._estimate = Estimate(settings.max_tokens)
        self._stopped: ModelError | None = None  # what every other prompt would meet too

    async def ask(self, prompt: Prompt) -> Outcome:
        """Answer a prompt, or say why there is no answer.

        Raises:
            ModelError: no prompt could get an answer here.
            StoreError: no answer can be written down.
        """
        async with self._servers.route() as route:
            # Looked at after the place was had: thousands may have waited for it since the first of them was refused.
            if stopped := self._stopped or route.endpoint.stopped:
                raise stopped
            route.endpoint.begin()  # here, since who waits for a place has spent nothing yet
            return await self._outcome(prompt, route)

    async def _outcome(self, prompt: Prompt, route: Route) -> Outcome:
        try:
            body = await self._body(prompt)
        except DataError as error:
            return unsent(error)
        # tenacity decides, not the client: patience is seconds over all attempts, and servers name waits it must
        # honour.
        retrying = AsyncRetrying(
            retry=retry_if_exception(worth_another),
            wait=lambda state: route.wait(state.attempt_number) and wait(state),
            stop=lambda state: self._stop(state, route),
            before_sleep=note,
            reraise=True,
        )
        try:
            return await retrying(self._once, body, prompt, route, time.monotonic() + self._settings.patience)
        except RequestError as met:
            # Kept as well as raised: those that wait for a place would each find it out by a request of their own.
            if ends := hopeless(met, self._settings, self._servers, route.endpoint):
                self._stopped = self._stopped or ends
                raise ends from met
            return Failure(met.cause, met.message)

    async def _body(self, prompt: Prompt) -> bytes:
        """The request; a picture that must be drawn or decoded first is worked on in a thread."""
        # A file goes out as it lies there, which is quicker than a thread's turn.
        if prompt.image is None or (isinstance(prompt.image, FilePicture) and not self._settings.max_image_side):
            return self._settings.request(prompt)
        return await asyncio.to_thread(self._settings.request, prompt)

    async def _once(self, body: bytes, prompt: Prompt, route: Route, deadline: float) -> Response:
        """One attempt, once a server may be asked; with a second one beside it where that is wanted."""
        await route.turn()
        try:
            await route.endpoint.breaker.admit(deadline, self._settings.give_up)
            if self._settings.hedge_after is None:
                return await self._noted(route.endpoint, body, prompt)
            return await hedged(
                lambda endpoint: self._noted(endpoint, body, prompt),
                route.endpoint,
                self._servers,
                self._settings.hedge_after,
            )
        except RequestError as met:
            route.failed(met.cause)
            raise

    async def _noted(self, endpoint: Endpoint, body: bytes, prompt: Prompt) -> Response:
        """One request; what it meets is known to all who ask there."""
        gate, breaker, started = endpoint.gate, endpoint.breaker, time.monotonic()
        try:
            response = await self._attempt(endpoint, body, prompt)
        except RequestError as met:
            if met.busy:
                gate.busy()
            if met.broken:
                breaker.failed(started)
            elif met.status != 429:  # a server that only ever says it is busy has not shown that it works
                breaker.works()
            else:
                breaker.dropped()
            raise
        except BaseException:
            breaker.dropped()
            raise
        gate.answered()
        breaker.works()
        self._servers.answered[endpoint.url] += 1
        return response

    async def _attempt(self, endpoint: Endpoint, body: bytes, prompt: Prompt) -> Response:
        await endpoint.pace.turn(expected := self._estimate.of(prompt))
        started = time.monotonic()
        try:
            # After the turn was had: waiting in line is not the server's time.
            async with asyncio.timeout(self._settings.timeout):  # of the whole: a server may send a byte now and then
                content = await endpoint.client.post(self._settings.path_of(prompt), body, self._connect(endpoint))
            endpoint.heard = time.monotonic()
            response = self._settings.read(without_keys(content, endpoint.key), prompt)
        # Before TimeoutError: aiohttp's own timeouts are both, and a connection that never came about is no late reply.
        except aiohttp.ClientError as error:
            raise lost(error, endpoint.key) from error
        except TimeoutError as error:
            raise RequestError("timeout", f"no whole reply within {self._settings.timeout:g} s") from error
        except Refused as error:
            endpoint.heard = time.monotonic()
            if filtered(error.error):
                # An outcome and not a failure: asked again it would be filtered again.
                return Response("", "content_filter", seconds=endpoint.heard - started)
            raise refused(error, endpoint.key) from error
        except Malformed as error:
            raise malformed(error, endpoint.key) from error
        except OSError as error:
            raise lost(error, endpoint.key) from error
        # Only of replies: of what failed nobody says what it took.
        endpoint.pace.correct(expected, response)
        self._estimate.learn(prompt, response)
        return replace(response, seconds=time.monotonic() - started)

    def _connect(self, endpoint: Endpoint) -> float:
        seconds = FIRST_CONNECT_SECONDS if endpoint.heard is None else CONNECT_SECONDS
        return min(seconds, self._settings.timeout)

    def _stop(self, state: RetryCallState, route: Route) -> bool:
        """Whether this prompt has been tried long enough."""
        met, servers = met_by(state), self._servers
        if self._settings.dead() or servers.given_up(self._settings.give_up):
            return True
        if met.unreachable and servers.heard is None:
            # Of the servers, not of this prompt: once they are only probed, one prompt's third try comes late.
            return servers.failing_for >= START_SECONDS
        # Not attempts: what a busy server turned away cost nothing, and says nothing of the next reply.
        if route.malformed >= MALFORMED_TRIES:
            return True
        return (state.seconds_since_start or 0) + state.upcoming_sleep > self._settings.patience


def unsent(error: DataError) -> Failure:
    """A prompt whose picture cannot be sent."""
    return Failure("image_too_large" if isinstance(error, TooLarge) else "unreadable_image", error.problem)


def met_by(state: RetryCallState) -> RequestError:
    """What the last attempt ran into."""
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, RequestError)
    return error


def worth_another(error: BaseException) -> bool:
    """Whether asking again may help."""
    return isinstance(error, RequestError) and error.again


def wait(state: RetryCallState) -> float:
    """What the server asks for, if it does, else longer each time."""
    after = met_by(state).after
    # A wait that a server names is the same for all it sent away.
    return back_off(state) if after is None else after + random.uniform(0, JITTER)


def note(state: RetryCallState) -> None:
    """Tell the log of an attempt that brought nothing."""
    log.info("%s; asking again in %.1f s", met_by(state), state.upcoming_sleep)
