"""What answers prompts. An `Engine` does the work; a `Model` is what the rest of the tool asks.

`Store.remember(engine)` makes a Model of an Engine: one that never asks the engine twice for the same
thing. Defenses wrap a Model into a Model. Judges and captioning steps ask a Model like the experiment does.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar, runtime_checkable

from mmsb.types import Outcome, Prompt

Batch = tuple[Prompt, ...]
Reply = tuple[Prompt, Outcome]
T = TypeVar("T")


@runtime_checkable
class Engine(Protocol):
    """A model as it is configured: light to build; what is heavy is opened with the first batch."""

    @property
    def name(self) -> str:
        """The name for tables and folders."""
        ...

    @property
    def repeats(self) -> int:
        """How many times each prompt is asked (above 1 only for models that sample)."""
        ...

    def fingerprint(self) -> Mapping[str, object]:
        """Everything that determines the answers, as JSON values; no secrets."""
        ...

    def batches(self, prompts: Iterable[Prompt]) -> Iterator[Batch]:
        """Group prompts whose answers depend on one another (a GPU batch); else each by itself, as it comes."""
        ...

    def generate(self, batches: Iterable[Batch]) -> Iterator[Reply]:
        """Answer each prompt of each batch, in any order, as answers come. `batches` may be read from a thread.

        Raises:
            ModelError: the model cannot be loaded or reached at all.
        """
        ...


class Model(Protocol):
    """Whatever can be asked: an engine with a memory, or a model behind a defense."""

    def answer(self, prompts: Iterable[Prompt]) -> Iterator[Reply]:
        """Give each prompt back with its outcome, in any order, as they come; ids must be unique in a call."""
        ...


def ask(model: Model, items: Iterable[T], prompt: Callable[[T], Prompt]) -> Iterator[tuple[T, Outcome]]:
    """Ask `model` one thing about each item; give each item back with its outcome, as they come.

    The items stay in memory only while they wait for their reply.
    """
    waiting: defaultdict[str, list[T]] = defaultdict(list)
    lock = threading.Lock()  # the model may read the prompts from a thread of its own

    def prompts() -> Iterator[Prompt]:
        for item in items:
            made = prompt(item)
            with lock:
                waiting[made.id].append(item)
            yield made

    for asked, outcome in model.answer(prompts()):
        with lock:
            item = waiting[asked.id].pop(0)
            if not waiting[asked.id]:
                del waiting[asked.id]
        yield item, outcome


class Coalesced:
    """Prompts that wait for one and the same answer (same key), kept together until it comes."""

    def __init__(self) -> None:
        """Start with nothing waiting."""
        self._waiting: dict[Hashable, list[Prompt]] = {}
        self._lock = threading.Lock()

    def first(self, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
        """Pass on each prompt that no waiting prompt equals; the others join the one that waits."""
        for prompt in prompts:
            with self._lock:
                group = self._waiting.setdefault(prompt.key, [])
                group.append(prompt)
                if len(group) > 1:
                    continue
            yield prompt

    def settle(self, prompt: Prompt) -> list[Prompt]:
        """All prompts that the answer to this one answers."""
        with self._lock:
            return self._waiting.pop(prompt.key)
