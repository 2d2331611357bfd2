"""An endpoint with a batch interface, as OpenAI documents it, and a process that dies at a step of a batch."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai.resources.batches
import openai.resources.files  # both: the client imports them when they are first used
import orjson
from aiohttp import web

from mmsb.faults.replies import completion, text_completion, text_of
from mmsb.faults.server import ChatServer
from mmsb.model import batches, ledger
from mmsb.model.openai import OpenAI
from mmsb.store import Shelf
from tests.asking import answered, named

Line = dict[str, Any]
STEPS = {  # of the client, by name: what it calls
    "upload": (openai.resources.files.__name__, "AsyncFiles", "create"),
    "record": (ledger.__name__, "Ledger", "write"),
    "submit": (openai.resources.batches.__name__, "AsyncBatches", "create"),
    "poll": (openai.resources.batches.__name__, "AsyncBatches", "retrieve"),
    "store": (Shelf.__module__, "Shelf", "add"),
    "forget": (ledger.__name__, "Ledger", "drop"),
}


class BatchServer(ChatServer):
    """Files and batches beside chat. A batch is run when it is made, and has ended after `looks` looks at it.

    Attributes:
        files: contents by id.
        batches: by id.
        asked: the text of every line of every batch, in order.
        status: how batches end.
        lines: what comes back for a text, in place of an answer; None for no line at all.
        hidden: how often the list of batches leaves new ones out.
        shape: how a batch is shown.
        taking: how often a file is looked at before it is taken in; until then no batch of it is made.
        act: told the method and path of each request before it is served; a reply it returns goes in its place.
    """

    def __init__(self, looks: int = 1, **settings: Any) -> None:
        super().__init__(**settings)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.status = "completed"
        self.lines: dict[str, Line | None] = {}
        self.hidden = 0
        self.shape: Callable[[dict[str, Any]], Any] = lambda batch: batch
        self.taking = 0
        self.act: Callable[[str], web.Response | None] = lambda what: None
        self._looks = looks

    def routes(self, router: web.UrlDispatcher) -> None:
        super().routes(router)
        router.add_post("/v1/files", self._upload)
        router.add_get("/v1/files/{id}/content", self._content)
        router.add_get("/v1/files/{id}", self._file)
        router.add_post("/v1/batches", self._make)
        router.add_get("/v1/batches", self._list)
        router.add_get("/v1/batches/{id}", self._look)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        name = f"file-{len(self.files)}"
        self.files[name] = file.file.read()
        return self.act("upload") or self._shown(name)

    async def _file(self, request: web.Request) -> web.Response:
        self.taking -= 1
        return self._shown(request.match_info["id"])

    def _shown(self, name: str) -> web.Response:
        status = "pending" if self.taking > 0 else "processed"
        return web.json_response({"id": name, "object": "file", "bytes": 1, "created_at": 0, "status": status})

    async def _content(self, request: web.Request) -> web.Response:
        return self.act("content") or web.Response(body=self.files[request.match_info["id"]])

    async def _make(self, request: web.Request) -> web.Response:
        if refused := self.act("before"):
            return refused
        if self.taking > 0:
            return web.json_response({"error": {"message": "the file is in 'pending' state"}}, status=400)
        asked = await request.json()
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "created_at": 0,
            "status": "in_progress",
            "looks": self._looks,
            **asked,
        }
        self._run(self.batches[name])
        return self.act("after") or web.json_response(self.batches[name])

    async def _list(self, request: web.Request) -> web.Response:
        self.hidden -= 1
        data = [] if self.hidden >= 0 else list(self.batches.values())
        return self.act("list") or web.json_response({"object": "list", "data": data, "has_more": False})

    async def _look(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        batch["looks"] -= 1
        if batch["looks"] < 0:
            batch["status"] = self.status
        return self.act("look") or web.json_response(self.shape(batch))

    def _run(self, batch: dict[str, Any]) -> None:
        """Answer each line, in the order from the last to the first: none is promised."""
        came: dict[str, list[Line]] = {"output_file_id": [], "error_file_id": []}
        for line in self.files[batch["input_file_id"]].splitlines()[::-1]:
            asked = orjson.loads(line)
            assert (asked["method"], asked["url"]) == ("POST", batch["endpoint"])
            body = self._answered(asked["url"], asked["body"]) | {"model": asked["body"]["model"]}
            text = self.asked[-1]
            answer: Line | None = {"response": {"status_code": 200, "request_id": "r", "body": body}, "error": None}
            if (answer := self.lines.get(text, answer)) is not None:
                failed = answer["response"] is None or answer["response"]["status_code"] != 200
                kind = "error_file_id" if failed else "output_file_id"
                came[kind].append({"id": "line", "custom_id": asked["custom_id"], **answer})
        for kind, lines in came.items():
            if lines:
                batch[kind] = f"file-{len(self.files)}"
                self.files[batch[kind]] = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        counts = [len(came[kind]) for kind in ("output_file_id", "error_file_id")]
        batch["request_counts"] = {"completed": counts[0], "failed": counts[1], "total": sum(counts)}

    def _answered(self, url: str, asked: dict[str, Any]) -> dict[str, Any]:
        if url == "/v1/moderations":
            self.asked.append(asked["input"])
            flags = {"flagged": False, "categories": {"x": False}, "category_scores": {"x": 0.25}}
            return {"id": "m", "results": [flags]}
        if url == "/v1/completions":
            self.asked.append(asked["prompt"])
            likely = {" no": math.log(0.9), " yes": math.log(0.1)}
            tokens = {"tokens": [" no"], "token_logprobs": [math.log(0.9)], "top_logprobs": [likely]}
            return text_completion(" no", tokens)
        assert url == "/v1/chat/completions"
        self.asked.append(text_of(asked["messages"]))
        return completion(self._reply(asked["messages"]))


def quick() -> None:
    """Take the seconds out of the waiting; what comes after what stays as it is."""
    batches.QUIET, batches.SETTLED, batches.FIRST_POLL, batches.LOOK = 0.05, 0.2, 0.02, 0.05


def ask_and_die(url: str, folder: Path, texts: list[str], step: str, when: str, count: int) -> None:
    """Ask through batches; end with SIGKILL before or after the step's `count`-th time."""
    import importlib

    quick()
    module, owner, name = STEPS[step]
    holder = getattr(importlib.import_module(module), owner)
    original, seen = getattr(holder, name), 0

    def die_here(at: str) -> None:
        if at == when and seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

    def plain(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        die_here("before")
        result = original(*args, **kwargs)
        die_here("after")
        return result

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        die_here("before")
        result = await original(*args, **kwargs)
        die_here("after")
        return result

    setattr(holder, name, awaited if module.startswith("openai") else plain)
    answered(model(url), [named(text, text) for text in texts], folder)


def model(url: str, **settings: Any) -> OpenAI:
    return OpenAI(name="x", base_url=url, **{"batch": True, "patience": 5, "timeout": 5} | settings)
