"""Readings with a memory: what kind of answer each answer is, read once, in processes beside the one that asks.

A reading takes some milliseconds of pure Python, as long as a fast endpoint takes for an answer. So the work is given
to other processes, and what was read stands in the store, under a digest of the rules.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Literal, cast

import orjson

from mmsb.judge.answers import Reading, read
from mmsb.judge.identity import identity
from mmsb.model.base import Batch, Reply, ask
from mmsb.store import Store
from mmsb.types import Failure, Finish, Outcome, Prompt, Response

FEW = 128  # answers that are read at once: starting a process takes longer
CHUNK = 16  # answers that a process takes at a time, where they come fast
AHEAD = 8  # chunks under way
MOST = 4  # processes


@dataclass(frozen=True)
class Reader:
    """`mmsb.judge.answers` as an engine: `text` is how the answer ended, `system` the question, `reply` the answer."""

    name: str = "reader"
    repeats: Literal[1] = 1

    def fingerprint(self) -> dict[str, object]:
        """The rules themselves."""
        return {"engine": "reader", "rules": identity()}

    def batches(self, prompts: Iterable[Prompt]) -> Iterator[Batch]:
        """Each answer by itself."""
        return ((prompt,) for prompt in prompts)

    def generate(self, batches: Iterable[Batch]) -> Iterator[Reply]:
        """Read each answer: a few here, many in processes of their own."""
        from mmsb.processes import cores, processes

        prompts = (prompt for batch in batches for prompt in batch)
        for prompt in islice(prompts, FEW):
            yield from zip([prompt], told([prompt]), strict=True)
        with processes(min(cores(), MOST)) as pool:
            held: list[Prompt] = []
            waiting: deque[tuple[list[Prompt], Future[list[Response]]]] = deque()
            for prompt in prompts:
                held.append(prompt)
                if not waiting or len(held) == CHUNK:  # where answers come slowly, none waits for the next
                    waiting.append((held, pool.submit(told, held)))
                    held = []
                while waiting and (len(waiting) > AHEAD or waiting[0][1].done()):
                    yield from _paired(*waiting.popleft())
            for chunk, readings in waiting:
                yield from _paired(chunk, readings)
            yield from zip(held, told(held), strict=True)


def _paired(chunk: list[Prompt], readings: Future[list[Response]]) -> Iterator[Reply]:
    return zip(chunk, readings.result(), strict=True)


def told(prompts: list[Prompt]) -> list[Response]:
    """Readings as JSON, each like ["refusal", ["truncated"], {"refusal": 0.97, ...}]."""
    readings = (read(prompt.reply or "", cast("Finish", prompt.text), prompt.system) for prompt in prompts)
    return [
        Response(orjson.dumps([reading.kind, reading.flags, reading.probabilities]).decode()) for reading in readings
    ]


def with_readings(replies: Iterable[Reply], store: Store) -> Iterator[tuple[Prompt, Outcome, Reading | None]]:
    """Each reply with the reading of its answer, as they come; None where there is no answer."""
    unread: deque[Reply] = deque()

    def answered() -> Iterator[tuple[Prompt, Response]]:
        for prompt, outcome in replies:
            if isinstance(outcome, Failure) or outcome.finish == "content_filter":
                unread.append((prompt, outcome))
            else:
                yield prompt, outcome

    reader = store.remember(Reader(), counted=False)
    for (prompt, response), reply in ask(reader, answered(), lambda item: _question(*item)):
        assert isinstance(reply, Response)
        kind, flags, probabilities = orjson.loads(reply.text)
        yield prompt, response, Reading(kind, tuple(flags), probabilities)
        while unread:
            yield *unread.popleft(), None
    while unread:
        yield *unread.popleft(), None


def _question(prompt: Prompt, response: Response) -> Prompt:
    asked = prompt.question.question if prompt.question else None
    return Prompt(prompt.id, response.finish, system=asked, reply=response.text)
