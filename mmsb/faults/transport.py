"""Faults of servers and of the way to them: limits, errors, silence, lost connections, redirects."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate

from mmsb.faults.fault import ESCAPES, Fault, answer, body, busy, chunked, half, http, raw, said, sent
from mmsb.faults.replies import Act, completion

NEVER = 3600.0  # seconds
BURST = 12  # requests
DETAILS = {"error": {"code": 429, "message": "Resource exhausted", "details": [{"retryDelay": "0.15s"}]}}  # as Google


def rate_limits() -> list[Fault]:
    """429 in every form."""
    spent = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "150ms"}
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        ("rate_limit", "429, nothing about how long", busy()),
        ("rate_limit_seconds", "429, Retry-After: 1", busy(Retry_After="1")),
        ("rate_limit_milliseconds", "429, retry-after-ms: 150", busy(retry_after_ms="150")),
        (
            "rate_limit_date",
            "429, Retry-After: a date a second ahead",
            lambda _: busy(Retry_After=formatdate(time.time() + 1, usegmt=True))(""),
        ),
        ("rate_limit_past", "429, Retry-After: a date in the past", busy(Retry_After=formatdate(0, usegmt=True))),
        ("rate_limit_reset", "429, x-ratelimit-reset-requests: 150ms", busy(**spent)),
        ("rate_limit_message", "429, how long in the message", sent(429, "Please try again in 150ms.", "slow_down")),
        ("rate_limit_details", "429, how long in the details (Google)", body(DETAILS, 429)),
        ("rate_limit_unreadable", "429, Retry-After: soon", busy(Retry_After="soon")),
        ("rate_limit_negative", "429, Retry-After: -5", busy(Retry_After="-5")),
        ("rate_limit_infinite", "429, Retry-After: 1e999", busy(Retry_After="1e999")),
        ("rate_limit_twice", "429, two Retry-After that differ", raw(_twice)),
        ("rate_limit_html", "429, a page in place of JSON", body(b"<html>Too many requests</html>", 429)),
        ("rate_limit_empty", "429, no body", body(b"", 429)),
        ("rate_limit_in_reply", "200, an error 429 in the body", body({"error": {"message": "busy", "code": 429}})),
    ]
    # A wait beyond any patience: the sample fails now, or a run would hang until tomorrow.
    day = Fault("rate_limit_day", "rate_limit", "429, Retry-After: 86400", busy(Retry_After="86400"), "failed")
    ban = Fault("rate_limit_burst", "rate_limit", f"429 for the next {BURST} requests", busy(), requests=BURST)
    return [*(Fault(name, "rate_limit", about, act) for name, about, act in rows), day, ban]


def _twice(text: str) -> bytes:
    return http(b'{"error":{"message":"busy"}}', "Retry-After: 1", "Retry-After: 0", status="429 Too Many Requests")


def server_errors() -> list[Fault]:
    """Errors of the server's own."""
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        ("timeout_408", "408", sent(408, "too slow")),
        ("conflict_409", "409", sent(409, "conflict")),
        ("error_500", "500", sent(500, "out of memory")),
        ("error_500_empty", "500, no body", body(b"", 500)),
        ("error_502", "502, a page", body(b"<html><h1>Bad Gateway</h1></html>", 502)),
        ("error_503", "503, Retry-After: 0", sent(503, "starting", Retry_After="0")),
        ("error_504", "504", body(b"upstream request timeout", 504)),
        ("error_520", "520, as a CDN says it", body(b"error code: 520", 520)),
        ("error_529", "529, overloaded", sent(529, "Overloaded", "overloaded_error")),
        ("error_in_reply", "200, an error in the body", body({"error": {"message": "worker died", "code": 500}})),
        ("error_beside_answer", "200, an answer and an error", body({**completion("Sure"), "error": "worker died"})),
        ("error_in_choice", "200, finish_reason: error", said(lambda text: completion(text[:5], "error"))),
    ]
    storm = Fault(
        "storm_503", "server_error", f"503 for the next {BURST} requests", sent(503, "overloaded"), requests=BURST
    )
    return [*(Fault(name, "server_error", about, act) for name, about, act in rows), storm]


def times() -> list[Fault]:
    """Late, slow, never."""
    return [
        Fault("hang", "time", "no reply, ever", lambda _: Act(delay=NEVER)),
        Fault("hang_in_body", "time", "half a reply, then silence", raw(_half_hung)),
        Fault("drip", "time", "a byte every half second", lambda text: Act(body=completion(text), drip=0.5)),
        Fault("drip_headers", "time", "the headers, a byte every half second", lambda t: Act(raw=_head(t), drip=0.5)),
        Fault("slow", "time", "a second late", lambda text: Act(body=completion(text), delay=1.0), "read"),
    ]


def _half_hung(text: str) -> bytes:
    return http(half(text), length=len(answer(text)))


def _head(text: str) -> bytes:
    return http(answer(text))


def connections() -> list[Fault]:
    """Lost connections, and what is no HTTP."""
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        ("close", "closed, nothing sent", lambda _: Act(end="cut")),
        ("reset", "reset, nothing sent", lambda _: Act(raw=b"", end="reset")),
        ("reset_in_headers", "reset in the middle of the headers", raw(lambda text: _head(text)[:40], "reset")),
        ("reset_in_body", "reset in the middle of the body", raw(_half_hung, "reset")),
        ("close_in_body", "closed in the middle of the body", raw(_half_hung, "close")),
        ("close_in_chunk", "closed in the middle of a chunk", raw(lambda text: chunked(answer(text))[:-30], "close")),
        ("close_between_chunks", "closed after a whole chunk", raw(lambda text: chunked(half(text)), "close")),
        ("chunk_size_wrong", "a chunk of no size", raw(lambda t: chunked() + b"zz\r\n" + answer(t), "close")),
        ("length_short", "Content-Length is half of it", raw(lambda t: http(answer(t), length=len(half(t))), "close")),
        ("length_wrong", "Content-Length: many", raw(lambda t: _head(t).replace(b"Length: ", b"Length: x"), "close")),
        ("no_http", "bytes that are no HTTP", raw(lambda _: b"\x16\x03\x01 hello\r\n\r\n", "close")),
        ("status_line_wrong", "HTTP/9 in place of a status", raw(lambda _: b"HTTP/9 maybe\r\n\r\n", "close")),
        ("header_flood", "100 KB of headers", raw(lambda t: http(answer(t), "X-Junk: " + "x" * 100_000), "close")),
    ]
    return [Fault(name, "connection", about, act) for name, about, act in rows]


def refused() -> list[Fault]:
    """Errors about this request alone, and content filters."""
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        ("bad_request", "400", sent(400, "messages.0: unsupported")),
        ("bad_request_escapes", "400, escape sequences in the message", sent(400, f"no{ESCAPES}no")),
        ("bad_request_huge", "400, a message of a megabyte", sent(400, "no " * 350_000)),
        ("bad_request_types", "400, an error that is a number", body({"error": 5}, 400)),
        ("bad_request_list", "400, a list", body([1, {"error": None}], 400)),
        ("forbidden", "403, in the middle", sent(403, "not in your region")),
        ("not_found", "404, in the middle", sent(404, "the model was unloaded")),
        ("too_large", "413", body(b"<html>413 Request Entity Too Large</html>", 413)),
        ("unsupported", "415", sent(415, "unsupported media type")),
        ("unprocessable", "422", sent(422, "image could not be decoded")),
        ("unavailable", "451", sent(451, "unavailable for legal reasons")),
    ]
    refused = [Fault(name, "refused", about, act, "failed") for name, about, act in rows]
    filtered: list[tuple[str, str, Callable[[str], Act]]] = [
        ("filter", "400, content_filter", sent(400, "filtered", "content_filter")),
        ("filter_in_reply", "200, finish_reason: content_filter", said(lambda _: completion("", "content_filter"))),
    ]
    return refused + [Fault(name, "refused", about, act, "filtered") for name, about, act in filtered]


def redirects() -> list[Fault]:
    """Replies that name another address."""
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        ("redirect_loop", "307 to itself", body(b"", 307, {"Location": "/v1/chat/completions"})),
        ("redirect_elsewhere", "307 to another host", body(b"", 307, {"Location": "http://127.0.0.2:9/v1"})),
        ("redirect_get", "302, which turns a POST into a GET", body(b"", 302, {"Location": "/v1/chat/completions"})),
        ("redirect_nowhere", "301 without an address", body(b"", 301)),
        ("redirect_scheme", "308 to file:///etc/passwd", body(b"", 308, {"Location": "file:///etc/passwd"})),
    ]
    return [Fault(name, "redirect", about, act, "failed") for name, about, act in rows]


def stops() -> list[Fault]:
    """What every request would meet."""
    rows: list[tuple[str, str, Callable[[str], Act]]] = [
        ("unauthorized", "401, in the middle", sent(401, "the key was revoked", "invalid_api_key")),
        ("payment", "402", sent(402, "no credit left")),
        ("quota", "429, insufficient_quota", sent(429, "you exceeded your quota", "insufficient_quota")),
        ("parameter", "400, unsupported_parameter", sent(400, "no max_tokens here", "unsupported_parameter")),
    ]
    return [Fault(name, "stops", about, act, "stops") for name, about, act in rows]
