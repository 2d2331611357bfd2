"""What is asked of a model's servers, again and again: within patience, by what they say, and until it is hopeless.

What is asked for and how a reply is read is said by those who ask: for answers (`Requests`), for pictures.
"""

from __future__ import annotations

import logging
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from mmsb.errors import DataError, ModelError
from mmsb.model.chat import TooLarge
from mmsb.model.hopeless import Patient, hopeless, turned_away
from mmsb.model.request_errors import RequestError, lost, malformed, refused
from mmsb.model.route import TWICE, Route, Servers
from mmsb.replies import Malformed, Refused
from mmsb.secret import without_keys
from mmsb.types import Failure

if TYPE_CHECKING:
    from mmsb.model.endpoint import Endpoint

CONNECT_SECONDS = 10.0
FIRST_CONNECT_SECONDS = 4.0  # of an endpoint that has never been heard: a lost packet is sent again after 1 and 3
START_SECONDS = 2.0  # within which one that has never been heard must be there; `serve=true` waits for its own server
MALFORMED_TRIES = 3  # each may cost money
REFUSED = 50  # prompts in a row; a filter may refuse some, hardly so many
JITTER = 1.0  # seconds; so that those who were sent away together do not come back together
back_off = wait_exponential_jitter(multiplier=0.5, max=30, jitter=JITTER)  # seconds between attempts
Asked = TypeVar("Asked")
Reply = TypeVar("Reply")

log = logging.getLogger(__name__)


class Attempts(ABC, Generic[Asked, Reply]):
    """What one engine asks of its servers: mostly one.

    Attributes:
        longest: bytes of the longest reply that is read. As many at a time as requests are under way are in memory.
    """

    longest: int

    def __init__(self, settings: Patient, servers: Servers) -> None:
        """Nothing is sent yet."""
        self._patient = settings
        self._servers = servers
        self._stopped: ModelError | None = None  # what all others would meet too
        self._refused: Counter[str] = Counter()  # prompts in a row, by server
        self._answered: Asked | None = None  # the last one that was
        self._away = 0  # prompts in a row that were sent away for all of their time, while nobody was answered

    @abstractmethod
    async def _body(self, asked: Asked) -> bytes:
        """The request.

        Raises:
            DataError: what is asked about cannot be read.
        """

    @abstractmethod
    def _path(self, asked: Asked) -> str:
        """Where it is sent, below the endpoint's URL."""

    @abstractmethod
    def _read(self, content: bytes, asked: Asked) -> Reply:
        """The body of a reply.

        Raises:
            Malformed: it is not one.
        """

    @abstractmethod
    def _refusal(self, error: object, met: RequestError) -> Reply | None:
        """What an error says that is an outcome: asked again it would be the same. `error`: as in `Refused`."""

    async def _refuses_all(self, endpoint: Endpoint) -> bool:
        """Whether a server that has refused so many in a row would refuse the others too."""
        return False

    def _tokens(self, asked: Asked) -> float:
        """How many it will take, for endpoints that limit them."""
        return 0.0

    def _counted(self, endpoint: Endpoint, asked: Asked, reply: Reply, expected: float, seconds: float) -> Reply:
        """A reply with what is known of it: how long it took."""
        return reply

    async def ask(self, asked: Asked) -> Reply | Failure:
        """What comes of it, or why nothing does.

        Raises:
            ModelError: nobody could get an answer here.
            StoreError: no answer can be written down.
        """
        async with self._servers.route() as route:
            # Looked at after the place was had: thousands may have waited for it since the first of them was refused.
            if stopped := self._stopped or route.endpoint.stopped:
                raise stopped
            route.endpoint.begin()  # here, since who waits for a place has spent nothing yet
            return await self._outcome(asked, route)

    async def _outcome(self, asked: Asked, route: Route) -> Reply | Failure:
        try:
            body = await self._body(asked)
        except DataError as error:
            return unsent(error)
        began, patience = route.endpoint.awake.now(), self._patient.patience
        deadline = began + patience
        while True:
            try:
                return await self._tried(body, asked, route, deadline)
            except RequestError as met:
                endpoint = route.endpoint
                # Kept as well as raised: those that wait for a place would each find it out by a request of their own.
                every = self._in_vain(met) and await self._every(endpoint)
                every = every and not self._servers.leave(endpoint, self._patient.name, met.message)
                ends = hopeless(met, self._patient, self._servers, endpoint, self._path(asked), every)
                if ends := ends or self._sent_away(met, endpoint, began):
                    self._stopped = self._stopped or ends
                    raise ends from met
                # It may be this server alone that refuses it: one of a shorter context, say.
                if not (self._in_vain(met) and await route.elsewhere()):
                    waits = (
                        f"; it asks to wait {met.after:,.0f} s, patience={patience:g}" if self._too_long(met) else ""
                    )
                    return Failure(met.cause, met.message + waits)

    async def _tried(self, body: bytes, asked: Asked, route: Route, deadline: float) -> Reply:
        """Attempts at a server, or at several where some fail."""
        try:
            return await self._once(body, asked, route, deadline)
        except RequestError as met:  # only now, since what repeats takes longer to set up than to send
            first = met
        return await self._again(first, body, asked, route, deadline)

    def _in_vain(self, met: RequestError) -> bool:
        """Whether nothing is asked again after this: it was refused, or sent away for longer than there is patience."""
        return not met.again or self._too_long(met)

    def _too_long(self, met: RequestError) -> bool:
        return met.again and (met.after or 0.0) > self._patient.patience

    async def _every(self, endpoint: Endpoint) -> bool:
        """Whether a server that has refused one prompt more refuses every one."""
        self._refused[endpoint.url] += 1
        if self._refused[endpoint.url] < REFUSED:
            return False
        self._refused[endpoint.url] = 0  # before it is found out: those that are refused meanwhile need not ask again
        return await self._refuses_all(endpoint)

    def _sent_away(self, met: RequestError, endpoint: Endpoint, began: float) -> ModelError | None:
        """What ends the run, where nobody was answered in all the time that two prompts in a row were sent away."""
        tried = endpoint.awake.now() - began > self._patient.patience / 2  # and not given up over a wait that was named
        if not (met.busy and tried) or any(one.breaker.worked > began for one in self._servers.endpoints):
            return None
        self._away += 1
        return turned_away(met, self._patient, endpoint) if self._away >= TWICE else None

    async def _again(self, first: RequestError, body: bytes, asked: Asked, route: Route, deadline: float) -> Reply:
        """Further attempts after a first one that failed, as long as they may help."""
        failed = [first]
        # tenacity decides, not the client: patience is seconds over all attempts, and servers name waits it must
        # honour.
        retrying = AsyncRetrying(
            retry=retry_if_exception(worth_another),
            wait=lambda state: route.wait(state.attempt_number) and wait(state),
            stop=lambda state: self._stop(state, route, deadline),
            before_sleep=note,
            reraise=True,
        )

        async def attempt() -> Reply:
            if failed:
                raise failed.pop()
            return await self._once(body, asked, route, deadline)

        return await retrying(attempt)

    async def _once(self, body: bytes, asked: Asked, route: Route, deadline: float) -> Reply:
        """One attempt, once a server may be asked."""
        await route.turn()
        try:
            await route.endpoint.breaker.admit(deadline, self._patient.give_up)
            return await self._made(body, asked, route)
        except RequestError as met:
            route.failed(met.cause)
            raise

    async def _made(self, body: bytes, asked: Asked, route: Route) -> Reply:
        """The request, or the requests, of an attempt."""
        return await self._noted(route.endpoint, body, asked)

    async def _noted(self, endpoint: Endpoint, body: bytes, asked: Asked) -> Reply:
        """One request; what it meets is known to all who ask there."""
        gate, breaker, started = endpoint.gate, endpoint.breaker, endpoint.awake.now()
        try:
            reply = await self._attempt(endpoint, body, asked)
        except RequestError as met:
            if met.busy:
                gate.busy()
            elif met.cause == "timeout":
                gate.late()
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
        breaker.works()
        self._servers.answered[endpoint.url] += 1
        self._refused[endpoint.url], self._answered, self._away = 0, asked, 0
        return reply

    async def _attempt(self, endpoint: Endpoint, body: bytes, asked: Asked) -> Reply:
        expected = await endpoint.pace.turn(lambda: self._tokens(asked))
        started = endpoint.awake.now()
        try:
            # After the turn was had: waiting in line is not the server's time. Of the whole: a server may send a byte
            # now and then.
            async with endpoint.awake.limit(self._patient.timeout):
                content = await endpoint.client.post(self._path(asked), body, self._connect(endpoint), self.longest)
            endpoint.heard = time.monotonic()
            content = without_keys(content, endpoint.key)
            reply = self._read(content, asked)
            self._servers.check_model(endpoint, content, self._patient.name)
        # Before TimeoutError: aiohttp's own timeouts are both, and a connection that never came about is no late reply.
        except aiohttp.ClientError as error:
            raise lost(error, endpoint.key) from error
        except TimeoutError as error:
            raise RequestError("timeout", f"no whole reply within {self._patient.timeout:g} s") from error
        except Refused as error:
            endpoint.heard = time.monotonic()
            met = refused(error, endpoint.key)
            if (outcome := self._refusal(error.error, met)) is None:
                raise met from error
            reply = outcome
        except Malformed as error:
            raise malformed(error, endpoint.key) from error
        except OSError as error:
            raise lost(error, endpoint.key) from error
        took = endpoint.awake.now() - started
        endpoint.gate.answered(took / self._patient.timeout)
        return self._counted(endpoint, asked, reply, expected, took)

    def _connect(self, endpoint: Endpoint) -> float:
        seconds = FIRST_CONNECT_SECONDS if endpoint.heard is None else CONNECT_SECONDS
        return min(seconds, self._patient.timeout)

    def _stop(self, state: RetryCallState, route: Route, deadline: float) -> bool:
        """Whether this has been tried long enough."""
        met, servers = met_by(state), self._servers
        if self._patient.dead() or servers.given_up(self._patient.give_up):
            return True
        if met.unreachable and servers.heard is None:
            # Of the servers, not of this prompt: once they are only probed, one prompt's third try comes late.
            return servers.failing_for >= START_SECONDS
        # Not attempts: what a busy server turned away cost nothing, and says nothing of the next reply.
        if route.malformed >= MALFORMED_TRIES:
            return True
        return route.endpoint.awake.now() + state.upcoming_sleep > deadline


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
