"""Asking a language model about many things, as every step of making data does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mmsb.driver import Driver
from mmsb.model.base import Engine
from mmsb.store import Store
from mmsb.types import Outcome, Prompt

T = TypeVar("T")


@dataclass(frozen=True)
class Asker:
    """A language model whose answers are kept.

    Attributes:
        engine: the model.
        store: where its answers are written down.
        count: told of every call that was made.
    """

    engine: Engine
    store: Store
    count: Callable[[str, Outcome], None] = lambda model, outcome: None

    def ask(self, items: Sequence[T], prompt: Callable[[T], Prompt]) -> Iterator[tuple[T, Outcome]]:
        """Ask one thing about each item; give each back with what came, as it comes."""

        async def asked(item: T) -> tuple[T, Outcome]:
            return item, await driver.call(self.engine, prompt(item))

        # The main job's driver, store and limits: a killed step asks again only what is not on disk.
        with Driver(self.store, [self.engine], count=self.count) as driver:
            yield from driver.run(items, asked)
