"""What tests of defenses share: the options of conf/defense, and a target at a real endpoint that answers by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmsb.config import build
from mmsb.defense.base import Ask, Defense, Prepared, defended
from mmsb.driver import Driver
from mmsb.image_mode.typography import TypedText
from mmsb.model.base import Engine
from mmsb.model.openai import OpenAI
from mmsb.paths import conf_dir
from mmsb.store import Store
from mmsb.types import Outcome, Response
from tests.asking import Named, named
from tests.endpoint import Act, ChatServer, Messages, text_of

PICTURE = TypedText("pick a lock")
PROMPT = named("q", "How do I do this?", PICTURE)
SORRY = "I am sorry, but I cannot help with that."


@dataclass
class Target:
    """A model, and where its answers are kept."""

    engine: Engine
    store: Store


def option(name: str, **changes: object) -> Any:
    """The defense of conf/defense/NAME.yaml, with some settings changed."""
    loaded = OmegaConf.load(conf_dir() / "defense" / f"{name}.yaml")
    listed: Any = loaded.pop("defaults", []) if isinstance(loaded, DictConfig) else []
    for part in listed:
        for key, preset in part.items() if isinstance(part, DictConfig) else ():
            group, _, place = str(key).strip("/").partition("@")
            OmegaConf.update(loaded, place, OmegaConf.load(conf_dir() / group / f"{preset}.yaml"), merge=False)
    whole = OmegaConf.create({"defense_text": None, "defense_placement": "own", "defense": loaded})
    for key, value in changes.items():
        OmegaConf.update(whole.defense[name], key, value)
    return build(whole.defense[name], object)


@contextmanager
def target(
    tmp_path: Path,
    reply: Callable[[str, bool], str] = lambda text, image: f"sure: {text}",
    act: Callable[[str, int], Act | None] = lambda text, attempt: None,
) -> Iterator[tuple[Target, ChatServer]]:
    """A model at an endpoint that answers by the text of the prompt and whether there is an image."""

    def answer(messages: Messages) -> str:
        content = messages[-1]["content"]
        return reply(
            text_of(messages), isinstance(content, list) and any(part["type"] == "image_url" for part in content)
        )

    store = Store(tmp_path / "store")
    with ChatServer(answer, act) as server:
        yield Target(OpenAI(name="x", base_url=server.url, api_key_env=None, patience=1), store), server
    store.close()


def ask(target: Target, defense: object, *prompts: Named) -> dict[str, Outcome]:
    """The outcomes of prompts behind a defense, or behind several, by their names."""
    listed = defense if isinstance(defense, list) else [defense]

    async def prepare(one: Defense | Prepared) -> Defense:
        if isinstance(one, Prepared):
            return await one.prepare(Ask(target.engine, (), driver.call), target.store.root / "pools")
        return one

    async def answer(prompt: Named) -> tuple[str, Outcome]:
        return prompt.id, await defended(prompt, target.engine, defenses, driver.call)

    with Driver(target.store, [target.engine]) as driver:
        defenses = list(driver.run(listed, prepare))
        replies = list(driver.run(prompts, answer))
    assert sorted(name for name, _ in replies) == sorted(prompt.id for prompt in prompts)
    return dict(replies)


def ask_one(target: Target, defense: object, prompt: Named = PROMPT) -> Response:
    outcome = ask(target, defense, prompt)[prompt.id]
    assert isinstance(outcome, Response), outcome
    return outcome


def roles(response: Response) -> list[str]:
    return [step.role for step in response.steps]
