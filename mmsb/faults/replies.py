"""What an OpenAI-compatible endpoint sends: answers, errors, and the one act that a request meets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

Messages = list[dict[str, Any]]
# Always the same, so that a test can tell by the sum how many replies were counted.
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass(frozen=True)
class Act:
    """What the server does with a request.

    Attributes:
        status: of HTTP.
        body: bytes as they are, or a value that is sent as JSON.
        headers: beside the usual ones.
        delay: seconds before anything is sent.
        raw: everything that is sent, status line and headers included; goes before status, body and headers.
        end: what becomes of the connection: kept open, closed, or reset; "cut" closes it with nothing sent.
        drip: seconds between two bytes of the body.
        times: that the body is sent, one after the other, as far as the client reads.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    raw: bytes | None = None
    end: Literal["keep", "close", "reset", "cut"] = "keep"
    drip: float = 0.0
    times: int = 1

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


def error(status: int, message: str, code: str | None = None, **headers: str) -> Act:
    """An error as endpoints send it; headers with `_` for `-`."""
    body = {"error": {"message": message, "code": code}}
    return Act(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def completion(text: str | None, finish: str = "stop", **message: object) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    about = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "x"}
    return {**about, "choices": [choice], "usage": dict(USAGE)}


def text_completion(text: str, logprobs: object = None) -> dict[str, Any]:
    """The body of a completion."""
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": logprobs}
    about = {"id": "cmpl-1", "object": "text_completion", "created": 0, "model": "x"}
    return {**about, "choices": [choice], "usage": dict(USAGE)}


def text_of(messages: Messages) -> str:
    """The text of the last message."""
    content = messages[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def messages_of(body: Mapping[str, Any]) -> Messages:
    """The messages of a request; the prompt of /completions is one."""
    # One form for both interfaces, so that every fault serves for either.
    return body["messages"] if "messages" in body else [{"role": "user", "content": body["prompt"]}]


async def within(seconds: float, stopped: asyncio.Event) -> None:
    """Wait, but no longer than the server lives."""
    try:
        await asyncio.wait_for(stopped.wait(), seconds)
    except TimeoutError:
        return
