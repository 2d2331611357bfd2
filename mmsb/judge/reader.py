"""Readings with a memory: what kind of answer each answer is, read once, in processes beside the one that asks.

A reading takes some milliseconds of pure Python, as long as a fast endpoint takes for an answer. So the work is given
to other processes, and what was read stands in the store, under a digest of the rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import orjson

from mmsb.flow import Asking
from mmsb.judge.answers import Reading, read
from mmsb.judge.identity import identity
from mmsb.types import Finish, Outcome, Prompt, Response

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from mmsb.model.endpoints import Endpoints

FEW = 128  # answers that are read at once: starting a process takes longer
CHUNK = 32  # answers that a process takes at a time, where they come fast
MOST = 4  # processes


@dataclass(frozen=True)
class Reader:
    """`mmsb.judge.answers` as an engine: `text` is how the answer ended, `system` the question, `reply` the answer."""

    name: str = "reader"
    repeats: Literal[1] = 1
    is_model: Literal[False] = False  # its readings are in no count of calls

    def fingerprint(self) -> dict[str, object]:
        """The rules themselves."""
        return {"engine": "reader", "rules": identity()}

    @asynccontextmanager
    async def session(self, endpoints: Endpoints) -> AsyncIterator[Callable[[Prompt], Awaitable[Outcome]]]:
        """Reads here at first, in processes of its own once there is much to read."""
        with ExitStack() as stack:
            yield _Desk(stack).read


@dataclass
class _Desk:
    """What waits to be read; whoever waits alone is read at once, the others together."""

    stack: ExitStack
    count: int = 0
    pool: ProcessPoolExecutor | None = None
    waiting: list[tuple[Prompt, asyncio.Future[Response]]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def read(self, prompt: Prompt) -> Response:
        self.count += 1
        if self.count <= FEW:
            return told([prompt])[0]
        reply: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.waiting.append((prompt, reply))
        if len(self.waiting) == CHUNK or not self.tasks:  # where answers come slowly, none waits for the next
            self._send()
        return await reply

    def _send(self) -> None:
        if not self.waiting:
            return
        chunk, self.waiting = self.waiting, []
        task = asyncio.create_task(self._read(chunk))
        self.tasks.add(task)
        task.add_done_callback(self._back)

    def _back(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not self.tasks:
            self._send()

    async def _read(self, chunk: list[tuple[Prompt, asyncio.Future[Response]]]) -> None:
        if self.pool is None:
            from mmsb.processes import cores, processes

            self.pool = self.stack.enter_context(processes(min(cores(), MOST), __name__))
        loop = asyncio.get_running_loop()
        try:
            readings = await loop.run_in_executor(self.pool, told, [prompt for prompt, _ in chunk])
        # To all that wait: whoever is not told would wait for ever.
        except Exception as error:
            for _, reply in chunk:
                if not reply.done():
                    reply.set_exception(error)
            return
        for (_, reply), reading in zip(chunk, readings, strict=True):
            if not reply.done():
                reply.set_result(reading)


READER = Reader()


def told(prompts: list[Prompt]) -> list[Response]:
    """Readings as JSON, each like ["refusal", ["truncated"], {"refusal": 0.97, ...}]."""
    readings = (read(prompt.reply or "", cast("Finish", prompt.text), prompt.system) for prompt in prompts)
    return [
        Response(orjson.dumps([reading.kind, reading.flags, reading.probabilities]).decode()) for reading in readings
    ]


async def reading_of(response: Response, question: str | None, ask: Asking) -> Reading:
    """How an answer reads, beside the question in plain words where that is known."""
    told = await ask(READER, Prompt(response.finish, system=question, reply=response.text))
    assert isinstance(told, Response)
    kind, flags, probabilities = orjson.loads(told.text)
    return Reading(kind, tuple(flags), probabilities)
