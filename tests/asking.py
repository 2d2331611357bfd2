"""What tests share to ask engines: prompts with names, and their outcomes by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from mmsb.driver import Driver
from mmsb.model.base import Batched, Engine
from mmsb.picture import Picture
from mmsb.store import Store
from mmsb.types import Outcome, Prompt


@dataclasses.dataclass(frozen=True)
class Named(Prompt):
    """A prompt that the test knows by a name."""

    id: str = ""


def named(
    name: str,
    text: str,
    image: Picture | None = None,
    system: str | None = None,
    repeat: int = 0,
    reply: str | None = None,
) -> Named:
    return Named(text, image, system, repeat, reply, id=name)


def generated(engine: Batched, prompts: Iterable[Named]) -> dict[str, Outcome]:
    """What a batched engine makes of prompts, in its own batches."""
    listed = list(prompts)
    keys = {prompt.key: prompt.id for prompt in listed}
    return {keys[prompt.key]: outcome for prompt, outcome in engine.generate(engine.batches(listed))}


def answers(engine: Engine, prompts: Iterable[Named], store: Store) -> dict[str, Outcome]:
    """What comes back through the driver and the store."""

    async def ask(prompt: Named) -> tuple[str, Outcome]:
        return prompt.id, await driver.call(engine, prompt)

    with Driver(store, [engine]) as driver:
        return dict(driver.run(prompts, ask))


def answered(engine: Engine, prompts: Iterable[Named], folder: Path) -> dict[str, Outcome]:
    """The same, with a store of its own in `folder`."""
    store = Store(folder)
    try:
        return answers(engine, prompts, store)
    finally:
        store.close()
