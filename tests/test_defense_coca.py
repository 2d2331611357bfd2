"""CoCA: logits with a principle, and their difference to those without it once more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmsb.defense.base import defended
from mmsb.driver import Driver
from mmsb.errors import ConfigError, ModelError
from mmsb.image_mode.typography import TypedText
from mmsb.model.base import Engine
from mmsb.model.hf import HF
from mmsb.model.llava import Llava
from mmsb.model.replica import Share
from mmsb.store import Store
from mmsb.types import How, Outcome, Prompt, Response
from tests.asking import generated, named
from tests.defending import PICTURE, option, target

TOKENS = 8


@pytest.fixture(scope="module", params=[HF, Llava])
def engine(request: pytest.FixtureRequest, small_llava: Path) -> Any:
    kind = request.param
    return kind(
        name="small", name_or_path=str(small_llava), dtype="float32", device="cpu", backend="pil", max_new_tokens=TOKENS
    )


def answered(engine: Engine, prompt: Prompt, folder: Path, **changes: object) -> Outcome:
    coca = option("coca", **changes)

    async def flow(number: int) -> Outcome:
        return await defended(prompt, engine, [coca], driver.call)

    with Driver(Store(folder)) as driver:
        [outcome] = driver.run([0], flow)
    assert isinstance(outcome, Response)
    return outcome


def by_hand(engine: Any, prompt: Prompt, principle: str, weight: float) -> list[int]:
    """The same without caches, processors or `generate`: both texts are read anew for every token."""
    loaded = engine.load()
    rows = [
        engine.inputs(loaded, [replace(prompt, text=text)]) for text in (f"{principle}\n{prompt.text}", prompt.text)
    ]
    said: list[int] = []
    with torch.inference_mode():
        for _ in range(TOKENS):
            new = torch.tensor([said], dtype=torch.long)
            logits = []
            for row in rows:
                ids = torch.cat([row["input_ids"], new], dim=1)
                whole = {**row, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
                logits.append(loaded.model(**whole).logits[0, -1])
            said.append(int((logits[0] + weight * (logits[0] - logits[1])).argmax()))
            if said[-1] == loaded.processor.tokenizer.eos_token_id:
                break
    return said


@pytest.mark.parametrize("image", [PICTURE, None])
@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_every_token_is_that_of_the_formula(engine: Any, image: Any, weight: float, tmp_path: Path) -> None:
    prompt = Prompt("list the steps", image)
    coca = option("coca", weight=weight)
    expected = by_hand(engine, prompt, coca.principle, weight)
    found = answered(engine, prompt, tmp_path, weight=weight)
    assert isinstance(found, Response)
    tokenizer = engine.load().processor.tokenizer
    assert found.text == tokenizer.decode(expected, skip_special_tokens=True).strip()
    plain = by_hand(engine, prompt, coca.principle, 0.0)
    assert expected != plain  # a test that would pass with the principle alone would show nothing


def test_both_texts_are_paid_for(engine: Any, tmp_path: Path) -> None:
    prompt = Prompt("list the steps", PICTURE)
    counts = [generated(engine, [named("q", text, PICTURE)])["q"] for text in ("list the steps",)]
    alone = counts[0]
    found = answered(engine, prompt, tmp_path)
    assert isinstance(alone, Response)
    assert isinstance(found, Response)
    assert (found.input_tokens or 0) > 2 * (alone.input_tokens or 0)


def test_a_replica_answers_as_one_process_does(engine: Any) -> None:
    prompt = Prompt("Be kind.\nlist the steps", PICTURE, how=How(without="list the steps", weight=4.0))
    [(_, alone)] = engine.generate([(prompt,)])
    [replica] = Share(engine).work((prompt,))
    assert isinstance(alone, Response)
    assert isinstance(replica, Response)
    assert replace(alone, seconds=0.0) == replace(replica, seconds=0.0)


def test_a_model_that_cannot_is_never_asked_without_it(tmp_path: Path, engine: Any) -> None:
    with target(tmp_path) as (place, server), pytest.raises(ConfigError, match="needs the logits"):
        answered(place.engine, Prompt("hello"), tmp_path)
    assert server.requests == []

    async def flow(number: int) -> Outcome:
        return await defended(Prompt("x"), engine, [option("coca"), option("safety_prompt")], driver.call)

    with Driver(Store(tmp_path)) as driver, pytest.raises(ConfigError, match="must be the last one"):
        list(driver.run([0], flow))
    blind = type("Blind", (HF,), {"CONTRASTS": False})(name="x", name_or_path="x")
    prompt = Prompt("x", how=How(without="y", weight=1.0))
    with pytest.raises(ModelError, match="cannot combine"):
        list(blind.generate([(prompt,)]))


def test_prompts_of_one_text_and_other_pictures_are_answered_alone(engine: Any) -> None:
    """In one batch they would be padded, and the second text's positions would be wrong."""
    how = How(without="y", weight=1.0)
    prompts = [Prompt("x", image, how=how) for image in (PICTURE, TypedText("bake bread"))]
    assert [len(batch) for batch in engine.batches(prompts)] == [1, 1]
