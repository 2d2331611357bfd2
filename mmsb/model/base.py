"""What answers prompts. Engines are settings: light to build, and opened when they are first asked.

There are two kinds. A `Batched` engine runs in this process and answers many prompts at once; a `Live` one answers each
prompt by itself, as it comes. The driver (`mmsb.driver`) asks both, and never twice for the same thing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mmsb.types import Outcome, Prompt

if TYPE_CHECKING:
    from mmsb.model.endpoints import Endpoints

Batch = tuple[Prompt, ...]
Reply = tuple[Prompt, Outcome]
ATOMS = (str, int, float, bytes, PurePath)


@runtime_checkable
class Engine(Protocol):
    """A model as it is configured."""

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


@runtime_checkable
class Batched(Engine, Protocol):
    """A model in this process. Its answers may depend on what else is in the batch."""

    def batches(self, prompts: Iterable[Prompt]) -> Iterator[Batch]:
        """Divide distinct prompts into batches, in a way that depends on nothing but the prompts."""
        ...

    def generate(self, batches: Iterable[Batch]) -> Iterator[Reply]:
        """Answer each prompt of each batch, in any order, as answers come. Runs in a thread of its own.

        Raises:
            ModelError: the model cannot be loaded.
        """
        ...


@runtime_checkable
class Live(Engine, Protocol):
    """A model that answers prompt by prompt: an endpoint."""

    def session(self, endpoints: Endpoints) -> AbstractAsyncContextManager[Callable[[Prompt], Awaitable[Outcome]]]:
        """What answers prompts while it is open; `endpoints` has the clients and limits that all engines share.

        Raises:
            ModelError: from a call: no prompt could get an answer there.
        """
        ...


def engines_in(settings: object) -> Iterator[Engine]:
    """Every engine in nested settings: the target's, the judges', those of defenses."""
    for part in nested(settings):
        # Asking for a protocol takes long, and most settings are none that is asked for answers.
        if hasattr(part, "fingerprint") and isinstance(part, Engine):
            yield part


def nested(settings: object) -> Iterator[object]:
    """Settings and all that stand in them, but for plain values."""
    if settings is None or isinstance(settings, ATOMS):
        return
    yield settings
    parts: Iterable[Any] = ()
    if dataclasses.is_dataclass(settings):
        parts = (getattr(settings, field.name) for field in dataclasses.fields(settings))
    elif isinstance(settings, Mapping):
        parts = settings.values()
    elif isinstance(settings, tuple | list):
        parts = settings
    for part in parts:
        yield from nested(part)
