"""A real OpenAI-compatible server on loopback that can misbehave on a schedule.

    with ChatServer(reply=lambda messages: "Sorry, no.") as server:
        OpenAI(name="x", base_url=server.url).generate(...)

`act(text, attempt)` says what happens to a request, by its text and how often that came (from 1): an `Act`, or None
for the answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import orjson
from aiohttp import web

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Act:
    """What the server does in place of answering: a status and body, after a delay; or it cuts the connection."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    drip: float = 0.0  # seconds between two bytes of the body
    times: int = 1  # that the body is sent, one after the other, as far as the client reads


HANG, CUT, GARBAGE = Act(delay=3600), Act(cut=True), Act(body=b"<html>no</html>")


def error(status: int, message: str, code: str | None = None, **headers: str) -> Act:
    """An error as endpoints send it; headers with `_` for `-`."""
    body = {"error": {"message": message, "code": code}}
    return Act(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def completion(text: str | None, finish: str = "stop", **message: object) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "x",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def text_of(messages: Messages) -> str:
    """The text of the last message."""
    content = messages[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


class ChatServer:
    """The server, in a thread of its own. `requests` are the bodies that came, `headers` theirs, `most` at a time."""

    def __init__(
        self,
        reply: Callable[[Messages], str] = lambda messages: f"echo: {text_of(messages)}",
        act: Callable[[str, int], Act | None] = lambda text, attempt: None,
        delay: float = 0.0,
        port: int = 0,
    ) -> None:
        self._reply = reply
        self._act = act
        self._delay = delay
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="chat-server", daemon=True)
        self._stop = asyncio.Event()
        self._under_way = 0
        self.attempts: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.times: list[float] = []
        self.most = 0
        self.pieces = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/v1/chat/completions", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            return await self._answer(request)
        finally:
            self._under_way -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        text = text_of(body["messages"])
        self.attempts[text] += 1
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.times.append(self._loop.time())
        act = self._act(text, self.attempts[text]) or Act(
            body=completion(self._reply(body["messages"])), delay=self._delay
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), act.delay)  # nobody hangs longer than the server lives
        if act.cut:
            assert request.transport is not None
            request.transport.abort()
        if act.drip or act.times > 1:
            return await self._in_pieces(request, act)
        content = act.body if isinstance(act.body, bytes) else orjson.dumps(act.body)
        return web.Response(body=content, status=act.status, headers=act.headers, content_type="application/json")

    async def _in_pieces(self, request: web.Request, act: Act) -> web.StreamResponse:
        """Send the body byte by byte, never silent for long; or over and over."""
        response = web.StreamResponse(status=act.status, headers=act.headers)
        await response.prepare(request)
        body = act.body if isinstance(act.body, bytes) else orjson.dumps(act.body)
        pieces = [bytes([byte]) for byte in body] if act.drip else [body] * act.times
        with suppress(ConnectionError):
            for piece in pieces:
                if self._stop.is_set():
                    break
                await response.write(piece)
                self.pieces += 1
                await asyncio.sleep(act.drip)
        return response
