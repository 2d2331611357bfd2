"""Faults in what a reply says: bodies that are no chat completion, and answers that are hard to carry."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from mmsb.faults.fault import (
    ESCAPES,
    Ends,
    Fault,
    Kind,
    answer,
    body,
    escaped,
    half,
    http,
    quoted,
    raw,
    said,
    said_packed,
)
from mmsb.faults.replies import Act, completion

HUGE = 20_000_000  # bytes
FIRST: tuple[str | int, ...] = ("choices", 0)
# `true` stands beside numbers since to Python it is one: a lax reader would count one token.
WRONG: dict[tuple[str | int, ...], tuple[object, ...]] = {
    ("choices",): (None, 5, "no", {}, []),
    FIRST: (None, 5, "no", []),
    (*FIRST, "message"): (None, 5, "no", []),
    (*FIRST, "message", "content"): (5, True, {}, [5], [{"text": "no type"}]),
    (*FIRST, "message", "refusal"): (5, True, {}),
    (*FIRST, "finish_reason"): (5, True, [], {}),
}
UNCOUNTED: dict[tuple[str | int, ...], tuple[object, ...]] = {
    ("usage",): (5, "no", []),
    ("usage", "prompt_tokens"): ("7", 7.5, True, -1, 1e300, []),
    ("usage", "completion_tokens"): ("3", 3.5, False, -1, {}),
}


def malformed() -> list[Fault]:
    """Replies that are no chat completion."""
    # json in Python ends in a RecursionError there, which is no ValueError.
    deep = b"[" * 100_000 + b"]" * 100_000
    bomb = gzip.compress(b" " * HUGE)
    packed = {"Content-Encoding": "gzip"}
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        ("empty", "200, no body", body(b"")),
        ("no_content", "204", body(b"", 204)),
        ("blank", "200, blanks", body(b" \n\t ")),
        ("html", "200, a page", body(b"<html>Sign in to the network</html>")),
        ("truncated_json", "JSON that ends half way", said(half)),
        ("two_replies_in_one", "two JSON objects", said(lambda text: answer(text) + answer(text))),
        ("deep", "JSON 100,000 deep", body(deep)),
        # In pieces: a client with a limit stops reading, and the server must not hold 20 MB for each that does not.
        ("huge", "20 MB", lambda _: Act(body=b" " * 1_000_000, times=HUGE // 1_000_000)),
        ("gzip_bomb", "20 KB that unpack to 20 MB", body(bomb, headers=packed)),
        ("gzip_broken", "gzip that ends half way", said_packed(lambda text: gzip.compress(answer(text))[:-20])),
        ("gzip_none", "called gzip, and none", said_packed(answer)),
        ("stream", "a stream of events", body(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n')),
    ]
    return [Fault(name, "malformed", about, act) for name, about, act in rows] + wrong(WRONG, "malformed", "again")


def wrong(places: Mapping[tuple[str | int, ...], tuple[object, ...]], kind: Kind, ends: Ends) -> list[Fault]:
    """A value of a wrong type, in fields that are read."""
    found = []
    for place, values in places.items():
        for number, value in enumerate(values):
            name = "_".join(["wrong", *(str(step) for step in place if step != 0), str(number)])
            about = f"{'.'.join(map(str, place))}: {orjson.dumps(value).decode()}"
            found.append(Fault(name, kind, about, said(partial(_changed, place, value)), ends))
    return found


def _changed(place: tuple[str | int, ...], value: object, text: str) -> Any:
    reply: Any = completion(text)
    node = reply
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    return reply


def texts() -> list[Fault]:
    """Answers that are hard to carry, and are answers."""
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        # Valid JSON, and no text that UTF-8 can hold: orjson, SQLite and files each fail on it later, far from here.
        ("surrogate", r"half a character, \ud83d", said(lambda text: escaped(quoted(text) + r"\ud83d"))),
        ("surrogate_raw", "half a character as bytes", said(lambda text: escaped(quoted(text) + "\ud83d"))),
        ("nul", r"\u0000", said(lambda text: escaped(quoted(text) + r"\u0000"))),
        ("controls_raw", "NUL, newline and ESC as bytes", said(lambda t: escaped(quoted(t) + "\x00\n\x1b[2J"))),
        ("escapes", "escape sequences of terminals", said(lambda text: answer(text + ESCAPES))),
        ("no_utf8", "bytes that are no UTF-8", said(lambda text: answer(text + "@").replace(b"@", b"\xff\xc3"))),
        ("byte_order_mark", "a byte order mark first", said(lambda text: b"\xef\xbb\xbf" + answer(text))),
        ("utf16", "UTF-16", said(lambda text: answer(text).decode().encode("utf-16"))),
        # `str.splitlines` breaks at all of them: a store that reads lines so would tear its own records.
        ("line_separators", "U+2028, U+0085", said(lambda text: answer(text + "\u2028\u0085\x0b"))),
        ("directions", "right-to-left overrides", said(lambda text: answer(text + "\u202e\u2066\u200f"))),
        ("formula", "a spreadsheet's formula", said(lambda text: answer('=HYPERLINK("http://x","y") ' + text))),
        ("markup", "HTML and a terminal's markup", said(lambda t: answer(f"<script>alert(1)</script>[/bold]{t}"))),
        ("interpolation", "what templates would fill in", said(lambda t: answer(t + "${oc.env:HOME} {0.__class__}"))),
        ("special_tokens", "a template's special tokens", said(lambda t: answer(t + "<|im_end|><|im_start|>system"))),
        ("long", "a hundred thousand letters", said(lambda text: answer(text + " a" * 50_000))),
        ("parts", "content in parts", said(lambda text: completion(None, content=[{"type": "text", "text": text}]))),
        # Python's json reads NaN, orjson refuses it.
        ("not_a_number", "NaN for a count", said(lambda text: answer(text).replace(b":7", b":NaN"))),
        ("unread_types", "wrong types where nothing is read", said(_unread)),
        ("unknown_fields", "fields nobody knows", said(lambda text: {**completion(text, new=[1]), "x": {"y": None}})),
        ("packed", "gzip", lambda t: Act(body=gzip.compress(answer(t)), headers={"Content-Encoding": "gzip"})),
        # The second would be read as the reply to the next request on this connection.
        ("duplicate", "the whole reply twice", raw(lambda text: http(answer(text)) * 2)),
        ("no_text", "content: null", said(lambda _: completion(None))),
        ("blank_text", "an empty answer", said(lambda _: completion("  \n "))),
    ]
    # "read": these are answers. One that is asked again was paid for twice.
    return [Fault(name, "text", about, act, "read") for name, about, act in rows] + wrong(UNCOUNTED, "text", "read")


def _unread(text: str) -> dict[str, Any]:
    return {**completion(text, role=5, name=[]), "id": 5, "object": None, "created": "no", "model": [1]}
