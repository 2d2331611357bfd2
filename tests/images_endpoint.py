"""A real OpenAI-compatible images endpoint on loopback."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from PIL import Image


class ImagesHandler(BaseHTTPRequestHandler):
    """An images endpoint: a striped picture; it refuses what mentions a slice, and is busy at first."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        with suppress(BrokenPipeError):  # who asked was told enough by another reply
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: dict[str, Any]) -> None:
        self.asked.append(body)
        if body["model"] != "painter":
            return self.reply(404, {"error": {"message": "no such model"}})
        if len(self.asked) == 1:
            return self.reply(503, {"error": {"message": "busy"}})
        if "slice" in body["prompt"]:
            return self.reply(400, {"error": {"message": "not this", "code": "moderation_blocked"}})
        if "eat" in body["prompt"]:
            return self.reply(200, {"created": 0, "data": [{"url": "http://elsewhere/picture.png"}]})
        buffer = io.BytesIO()
        turn = sum(body["prompt"].encode()) % 360
        Image.linear_gradient("L").rotate(turn).save(buffer, "PNG")
        return self.reply(200, {"created": 0, "data": [{"b64_json": base64.b64encode(buffer.getvalue()).decode()}]})

    def reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@contextmanager
def images_endpoint() -> Iterator[str]:
    """Serve; give the endpoint's URL."""
    ImagesHandler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), ImagesHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
