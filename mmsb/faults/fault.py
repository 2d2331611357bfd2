"""One fault, and what acts are made with.

A fault is a function of the right answer's text, so that a broken reply holds the answer it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from mmsb.faults.replies import Act, completion, error

Kind = Literal["rate_limit", "server_error", "time", "connection", "malformed", "text", "refused", "redirect", "stops"]
Ends = Literal["again", "read", "failed", "filtered", "stops"]
KINDS: dict[Kind, str] = {
    "rate_limit": "too many requests, with every way to say how long to wait",
    "server_error": "the server's own errors",
    "time": "late, slow, or never",
    "connection": "lost, closed, reset, or no HTTP",
    "malformed": "a reply that is no chat completion",
    "text": "an answer that is hard to carry, and is one",
    "refused": "an error about this request alone",
    "redirect": "another address",
    "stops": "what every request would meet: the run ends",
}
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\x00\r\x08"  # what a terminal would obey


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    Attributes:
        name: in settings and tables.
        kind: what it belongs to.
        about: what the server does, in a few words.
        act: the act, of the text of the right answer.
        ends: what becomes of the sample: asked "again" and then answered, "read" as it is and paid for once, "failed",
            "filtered"; or the whole run "stops".
        requests: that meet it from then on, whoever asks; 1: only this one.
    """

    name: str
    kind: Kind
    about: str
    act: Callable[[str], Act]
    ends: Ends = "again"
    requests: int = 1


def http(content: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A reply as it goes over the wire; `length` is what it claims."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(content) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def chunked(*chunks: bytes) -> bytes:
    """A reply in chunks, without its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


def answer(text: str | None, **message: object) -> bytes:
    """A right reply, as JSON."""
    return orjson.dumps(completion(text, **message))  # type: ignore[arg-type]


def half(text: str) -> bytes:
    """The first half of a right reply."""
    whole = answer(text)
    return whole[: len(whole) // 2]


def escaped(text: str) -> bytes:
    r"""A right reply whose answer holds a JSON escape that bytes cannot: `text` as JSON source, e.g. \\ud83d."""
    return answer("@").replace(b'"@"', b'"%s"' % text.encode("utf-8", "surrogatepass"))


def quoted(text: str) -> str:
    """A text as JSON source, without its quotes."""
    return orjson.dumps(text).decode()[1:-1]


def busy(**headers: str) -> Callable[[str], Act]:
    """429 with headers that say how long to wait."""
    return lambda text: error(429, "slow down", "rate_limit_exceeded", **headers)


def sent(status: int, message: str, code: str | None = None, **headers: str) -> Callable[[str], Act]:
    """An error."""
    return lambda text: error(status, message, code, **headers)


def body(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Callable[[str], Act]:
    """The same body for everyone."""
    return lambda text: Act(status, content, headers or {})


def raw(make: Callable[[str], bytes], end: Literal["keep", "close", "reset"] = "keep") -> Callable[[str], Act]:
    """Bytes past HTTP."""
    return lambda text: Act(raw=make(text), end=end)


def said(make: Callable[[str], bytes | Mapping[str, Any]]) -> Callable[[str], Act]:
    """A reply made of the right answer's text."""
    return lambda text: Act(body=make(text))


def said_packed(make: Callable[[str], bytes]) -> Callable[[str], Act]:
    """A reply that says it is gzip."""
    return lambda text: Act(body=make(text), headers={"Content-Encoding": "gzip"})
