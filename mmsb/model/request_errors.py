"""What a request to an endpoint can run into, sorted by what to do about it.

again    408, 409, 429, 5xx (also of a proxy), a lost connection, a timeout, a malformed reply: ask again, later
fatal    401, 402, what else a proxy says, an empty account, a parameter the model does not take, and before the first
         answer 403, 404 and another address: every prompt would meet it, so the run stops
else     the other 3xx and 4xx: this prompt fails, the run goes on, unless every prompt meets one and none is answered
"""

from __future__ import annotations

import email.utils
import math
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp

from mmsb.replies import Malformed, Refused
from mmsb.secret import blotted

AGAIN = (408, 409, 429)
MOVED = (301, 302, 303, 307, 308)
BUSY = (429, 503, 529)  # the last is what some providers say when they are overloaded
FATAL, FATAL_AT_START = (401, 402, 407), (*MOVED, 403, 404)
# Of accounts: OpenAI's, and Moonshot's.
FATAL_CODES = (
    "insufficient_quota",
    "billing_not_active",
    "exceeded_current_quota_error",
    "unsupported_parameter",
    "unsupported_value",
)
LIMITS = (  # what remains of each, and when it is whole again
    *((f"x-ratelimit-remaining-{name}", f"x-ratelimit-reset-{name}") for name in ("requests", "tokens")),
    *(
        (f"anthropic-ratelimit-{name}-remaining", f"anthropic-ratelimit-{name}-reset")
        for name in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)
PROXY, TOO_LARGE = "proxy", "too_large"  # causes
# OpenAI and Groq, of the tokens that an account may ask in a minute. Said of prompts that only have to wait, too.
LARGER = re.compile(r"\brequest too large\b.*\blimit ([\d,]+), requested ([\d,]+)", re.IGNORECASE | re.DOTALL)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
DURATION = re.compile(rf"(?:{PART.pattern})+")
AGAIN_IN = re.compile(r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:ms|[smhd]| seconds?))+)\b", re.IGNORECASE)
ENVIRONMENT = "the proxy of the environment"
SHOWN, READ = 300, 4000  # characters of a server's message: in an error, and looked at


class RequestError(Exception):
    """A request that brought no answer.

    Attributes:
        cause: in one word, for tables.
        message: what the server or the connection said.
        status: of HTTP, None where there was no reply.
        code: the server's own code, if any.
        after: seconds that the server asks to wait.
    """

    def __init__(
        self, cause: str, message: str, status: int | None = None, code: str | None = None, after: float | None = None
    ) -> None:
        """Shorten the message to one line."""
        self.cause = cause
        self.message = " ".join(message.split())[:SHOWN]
        self.status = status
        self.code = code
        self.after = after
        super().__init__(f"{self.cause}: {self.message}")

    @property
    def unreachable(self) -> bool:
        """Nothing listens there, or the way there is closed."""
        return self.cause in ("unreachable", "tls")

    @property
    def moved(self) -> bool:
        """The reply names another address. It is not followed: prompts go where they were meant to go."""
        return self.status in MOVED

    @property
    def again(self) -> bool:
        """Whether asking again may help."""
        # No reply at all says nothing of this prompt, so it is worth another try.
        if self.status is None:
            return True
        # An empty account comes as 429 too, and so does a prompt that no minute will hold: waiting changes neither.
        hopeless = self.code in FATAL_CODES or self.cause == TOO_LARGE
        return not hopeless and (self.status in AGAIN or self.status >= 500)

    @property
    def busy(self) -> bool:
        """The server has too much to do, and says so."""
        return self.status in BUSY and self.cause != TOO_LARGE

    @property
    def broken(self) -> bool:
        """The server, or the way there, does not work: it says nothing of this prompt."""
        return self.status is None or self.status >= 500

    def fatal(self, answered: bool) -> bool:
        """Whether every prompt would meet it. `answered`: some prompt has had an answer already."""
        # Once something was answered, model and key are right: a 403 or 404 then is about the one prompt, or a
        # filter's.
        if self.cause == PROXY:  # it has not seen the prompt
            return not self.again
        stops = FATAL if answered else FATAL + FATAL_AT_START
        return self.status in stops or self.code in FATAL_CODES


def refused(reply: Refused, key: str | None) -> RequestError:
    """A reply that is no success, sorted; `key` is blotted out where a server repeats it, here and below."""
    body = reply.error if isinstance(reply.error, Mapping) else {}
    status = reply.status
    # Some servers name it in "type" alone.
    code = next((body[name] for name in ("code", "type") if body.get(name) in FATAL_CODES), body.get("code"))
    message = _shown(_message(reply.error) or f"Error code: {status}", key)
    if status == 413:
        message = f"the request is too large; max_image_side=PIXELS sends smaller pictures ({message})"
    if status in MOVED:
        # Blotted as well: a server may put the key it was sent into the address.
        message = f"moved to {_shown(reply.headers.get('location', 'an address that it does not name'), key)}"
    cause = "rate_limit" if status == 429 else f"http_{status}"
    if status == 429 and _never_fits(message):
        cause = TOO_LARGE
    after = retry_after(reply.headers)
    if after is None and status in BUSY:  # elsewhere a message may tell of another wait
        after = _told(body)
    return RequestError(cause, message, status, None if code is None else str(code), after)


def _never_fits(message: str) -> bool:
    """Whether a prompt alone is more than the whole of the limit that it met."""
    found = LARGER.search(message)
    limit, asked = (int(number.replace(",", "") or 0) for number in found.groups()) if found else (0, 0)
    return asked > limit


def _message(error: object) -> str:
    """What an error says: OpenAI's "message", FastAPI's "detail", a text in their place; of a page nothing."""
    if isinstance(error, Mapping):
        return next((str(error[name]) for name in ("message", "detail", "error", "msg") if error.get(name)), "")
    return error if isinstance(error, str) and not error.lstrip().startswith("<") else ""


def malformed(error: Malformed, key: str | None) -> RequestError:
    """A reply that is not what the endpoint's protocol says."""
    return RequestError("malformed", _shown(str(error), key))


def lost(error: BaseException, key: str | None) -> RequestError:
    """No reply, half of one, or one that no HTTP is: what became of the connection."""
    if isinstance(error, aiohttp.ClientHttpProxyError):  # before https; else its reply is as one of the server
        place = error.request_info.real_url  # the proxy's; `url` is the server's
        said = f"{ENVIRONMENT}, {place.host}:{place.port}: HTTP {error.status} {error.message}"
        return RequestError(PROXY, _shown(said, key), error.status)
    if isinstance(error, aiohttp.ClientResponseError):  # a body may have come with it, and be paid for
        return RequestError("malformed", _shown(f"not HTTP as it should be: {error.message}", key))
    causes = list(_causes(error))
    said = _said(causes)
    if isinstance(error, aiohttp.ClientProxyConnectionError):  # or it would be the endpoint that nobody finds
        said = f"{ENVIRONMENT}, {error.host}:{error.port}: {said}"
    return RequestError(_connection(causes), _shown(said, key))


def _shown(message: str, key: str | None) -> str:
    # Cut before it is searched: a server may send a megabyte with each of a thousand refusals.
    return blotted(message[:READ], key)


def _said(causes: list[BaseException]) -> str:
    """What the system says of the connection, else what the transport says."""
    for cause in reversed(causes):
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, ssl.SSLError):  # its number is none of the system's
            return str(getattr(cause, "verify_message", None) or cause.reason or cause)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return next((str(cause) for cause in causes if str(cause)), type(causes[-1]).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # `__cause__`, not `__context__`: what merely happened meanwhile would be named as the reason.
        error = error.__cause__


def _connection(causes: list[BaseException]) -> str:
    """What became of the connection. aiohttp's own error says it: a layer above may call nearly all a timeout."""
    met = next((cause for cause in causes if isinstance(cause, aiohttp.ClientError | TimeoutError)), None)
    if isinstance(met, aiohttp.ClientSSLError):
        return "tls"
    if isinstance(met, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return "unreachable"
    return "timeout" if isinstance(met, TimeoutError) else "connection"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that the server asks to wait: never below 0; None where it says nothing that can be read.

    Read are `retry-after-ms`, `retry-after` (seconds or an HTTP date), and where neither stands the longest of OpenAI's
    `x-ratelimit-reset-*` ("1s", "6m0s", "20ms") and Anthropic's `anthropic-ratelimit-*-reset` (RFC 3339). Those are
    sent with every reply, spent or not; so none counts of which something is said to remain.
    """
    found = _number(headers.get("retry-after-ms"))
    if found is not None:
        return max(0.0, found / 1000)
    if (value := headers.get("retry-after")) is not None:
        return _wait(value, headers)
    spent = [reset for remaining, reset in LIMITS if _number(headers.get(remaining, "0")) == 0]
    waits = [_wait(headers[reset], headers) for reset in spent if reset in headers]
    return max((wait for wait in waits if wait is not None), default=None)


def _wait(text: str, headers: Mapping[str, str]) -> float | None:
    """Seconds: "7", "1m30s", or until a date. Below 0, and a date in the past, mean now."""
    found = _duration(text)
    return _until(text, headers) if found is None else max(0.0, found)


def _told(error: Mapping[str, object]) -> float | None:
    """Seconds that an error's body asks to wait: "try again in 1.2s" (OpenAI, Groq), `retryDelay: "32s"` (Google)."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and isinstance(delay := detail.get("retryDelay"), str):
            return _duration(delay)
    said = AGAIN_IN.search(str(error.get("message")))
    return _duration(said[1].replace(" seconds", "s").replace(" second", "s")) if said else None


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text is not None else math.nan
    except ValueError:
        return None
    # "nan" and "1e999" are numbers to Python, and a wait of infinity would never end.
    return found if math.isfinite(found) else None


def _until(date: str, headers: Mapping[str, str]) -> float | None:
    """Seconds until a date, by the server's own clock where the reply says what that shows: ours may be hours off."""
    then, now = _moment(date), _moment(headers.get("date", ""))
    return None if then is None else max(0.0, then - (time.time() if now is None else now))


def _moment(date: str) -> float | None:
    """Seconds since the epoch, of an HTTP date or one of RFC 3339."""
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, OverflowError):
            found = read(date)
            # Without a zone it is GMT: HTTP knows no other.
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return None


def _duration(text: str) -> float | None:
    """Seconds of "1h2m3.5s"."""
    if not DURATION.fullmatch(text):
        return _number(text)
    return sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))
