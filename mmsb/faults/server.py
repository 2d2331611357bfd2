"""A real OpenAI-compatible server on loopback that can misbehave on a schedule.

    with ChatServer(reply=lambda messages: "Sorry, no.") as server:
        OpenAI(name="x", base_url=server.url).generate(...)

`act(text, attempt)` says what happens to a request, by its text and how often that came (from 1): an `Act`, or None
for the answer.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from mmsb.faults.replies import Act, Messages, completion, messages_of, text_completion, text_of, within

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)  # linger for no time: the connection ends with a reset


class ChatServer:
    """The server, in a thread of its own.

    Attributes:
        attempts: how often each prompt came.
        requests: the bodies that came, in their order.
        headers: theirs.
        times: when they came, in seconds of the server's clock.
        most: requests that were under way at a time.
        pieces: parts of bodies that were sent in several.
    """

    def __init__(
        self,
        reply: Callable[[Messages], str] = lambda messages: f"echo: {text_of(messages)}",
        act: Callable[[str, int], Act | None] = lambda text, attempt: None,
        delay: float = 0.0,
        port: int = 0,
        prompt: Callable[[Messages], str] = text_of,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`delay` is before an answer, in seconds; `prompt` names what attempts are counted by, and `act` is told."""
        self._reply = reply
        self._act = act
        self._delay = delay
        self._port = port
        self._prompt = prompt
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._broken: OSError | None = None
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
        """Its base URL."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        # A port that is taken is only known in the server's thread; raised there, nobody would see it.
        if self._broken:
            raise self._broken
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
        # aiohttp's own limit is 1 MB, which a picture in base64 passes.
        app = web.Application(client_max_size=1 << 30)
        self.routes(app.router)
        # No wait at the end: clients keep connections open, and requests hang here on purpose.
        runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
        await runner.setup()
        # aiohttp's 128 can turn away a client that opens hundreds at once: a fault that nobody asked for.
        site = web.TCPSite(runner, HOST, self._port, backlog=1024, ssl_context=self._tls)
        try:
            await site.start()
            self._port = runner.addresses[0][1]
        except OSError as error:
            self._broken = error
            self._stop.set()
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def routes(self, router: web.UrlDispatcher) -> None:
        """What it serves."""
        router.add_post("/v1/chat/completions", self._handle)
        router.add_post("/v1/completions", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            return await self._answer(request)
        finally:
            self._under_way -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        messages = messages_of(body)
        prompt = self._prompt(messages)
        # Counted before anything goes wrong: a test asks what reached the server, not what it answered.
        self.attempts[prompt] += 1
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.times.append(self._loop.time())
        form = text_completion if "prompt" in body else completion
        said = form(self._reply(messages)) | {"model": body.get("model")}
        act = self._act(prompt, self.attempts[prompt]) or Act(body=said, delay=self._delay)
        if act.delay:
            await within(act.delay, self._stop)
        if act.raw is not None or act.end != "keep":
            return await self._raw(request, act)
        if act.drip or act.times > 1:
            return await self._in_pieces(request, act)
        return web.Response(body=act.content, status=act.status, headers=act.headers, content_type="application/json")

    async def _raw(self, request: web.Request, act: Act) -> web.StreamResponse:
        """Send bytes as they are, past HTTP, and do to the connection what the act says."""
        wire = request.transport
        # The client may have gone while the act waited.
        if wire is None:
            return Sent()
        if act.end != "cut":
            step = len(act.raw or b"") if not act.drip else 1
            for start in range(0, len(act.raw or b""), max(step, 1)):
                if wire.is_closing():
                    break
                wire.write((act.raw or b"")[start : start + step])
                await within(act.drip, self._stop)
        if act.end == "reset":
            await asyncio.sleep(0.02)  # what was sent is to arrive before the reset
            if (plug := wire.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if act.end in ("reset", "cut"):
            wire.abort()
        elif act.end == "close":
            wire.close()
        return Sent()

    async def _in_pieces(self, request: web.Request, act: Act) -> web.StreamResponse:
        """Send the body byte by byte, never silent for long; or over and over."""
        response = web.StreamResponse(status=act.status, headers=act.headers)
        await response.prepare(request)
        pieces = [bytes([byte]) for byte in act.content] if act.drip else [act.content] * act.times
        with suppress(ConnectionError):
            for piece in pieces:
                if self._stop.is_set():
                    break
                await response.write(piece)
                # How far the client read tells whether it stops at a limit or swallows all.
                self.pieces += 1
                await asyncio.sleep(act.drip)
        return response


class Sent(web.Response):
    """Stands for a reply that went past HTTP: nothing more is sent."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""
