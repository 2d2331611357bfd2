"""What tests share to drive flows: a batched engine that notes its batches, and one that answers late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from mmsb.driver import Driver
from mmsb.errors import ModelError
from mmsb.model.base import Batch, Reply
from mmsb.model.endpoints import Endpoints
from mmsb.model.openai import OpenAI
from mmsb.store import Store
from mmsb.types import Outcome, Prompt, Response


class Local:
    """A batched engine that notes its batches and answers each prompt with what else is in the batch."""

    repeats = 1

    def __init__(self, size: int = 4, name: str = "local", broken: str = "") -> None:
        self.size, self.name, self.broken = size, name, broken
        self.seen: list[list[str]] = []

    def fingerprint(self) -> dict[str, object]:
        return {"engine": self.name}

    def batches(self, prompts: Iterable[Prompt]) -> Iterator[Batch]:
        ordered = sorted(prompts, key=lambda prompt: (len(prompt.text), prompt.key))
        return (tuple(ordered[start : start + self.size]) for start in range(0, len(ordered), self.size))

    def generate(self, batches: Iterable[Batch]) -> Iterator[Reply]:
        for batch in batches:
            texts = [prompt.text for prompt in batch]
            if self.broken and self.broken in texts:
                raise ModelError("the weights are gone")
            self.seen.append(texts)
            for prompt in batch:
                yield prompt, Response(f"{prompt.text}:{sum(map(len, texts))}")


def run(folder: Path, flow: Callable[[Driver, int], object], count: int) -> list[object]:
    """The results of a flow for each number, by its number."""
    store = Store(folder)

    async def numbered(number: int) -> tuple[int, object]:
        return number, await flow(driver, number)  # type: ignore[misc]

    with Driver(store) as driver:
        found = dict(driver.run(range(count), numbered))
    store.close()
    return [found[number] for number in range(count)]


class Slow:
    """A live engine whose answers take as long as it pleases."""

    repeats = 1
    name = "slow"

    def __init__(self, inner: OpenAI, delay: Callable[[], float]) -> None:
        self.inner, self.delay = inner, delay

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "slow"}

    @asynccontextmanager
    async def session(self, endpoints: Endpoints) -> AsyncIterator[Callable[[Prompt], Awaitable[Outcome]]]:
        async with self.inner.session(endpoints) as ask:

            async def late(prompt: Prompt) -> Outcome:
                await asyncio.sleep(self.delay())
                return await ask(prompt)

            yield late
