"""Local models answer in batches that timing cannot change, also after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from mmsb.driver import Driver
from mmsb.errors import ModelError
from mmsb.flow import gather
from mmsb.model.base import Batched, Engine
from mmsb.model.openai import OpenAI
from mmsb.pipeline import BLOCK
from mmsb.store import Store
from mmsb.types import Prompt, Response
from tests.driving import Local, Slow, run
from tests.endpoint import ChatServer, text_of


async def two_rounds(driver: Driver, target: Batched, helper: Batched, server: Slow, number: int) -> list[str]:
    """Asks the target; some flows then ask a helper, or an endpoint, or several things at once."""

    async def text(engine: Engine, prompt: str) -> str:
        outcome = await driver.call(engine, Prompt(prompt))
        assert isinstance(outcome, Response)
        return outcome.text

    said = [await text(target, f"question {number % 50}")]
    if number % 3 == 0:
        said.append(await text(helper, f"caption of {said[0]}"))
    if number % 4 == 0:
        said.append(await text(server, f"check {number}"))
        said.append(await text(target, f"again {said[-1]}"))
    if number % 5 == 0:
        said += await gather(*(text(target, f"vote {vote} on {number}") for vote in range(3)))
    return said


def rounds(folder: Path, delay: Callable[[], float]) -> tuple[list[object], list[list[str]], list[list[str]]]:
    local, helper = Local(), Local(3, "helper")
    with ChatServer(lambda messages: f"fine {text_of(messages)}") as server:
        slow = Slow(OpenAI(name="x", base_url=server.url, api_key_env=None), delay)
        found = run(folder, lambda driver, number: two_rounds(driver, local, helper, slow, number), BLOCK + 200)
    return found, local.seen, helper.seen


def test_batches_are_the_same_whatever_the_timing(tmp_path: Path) -> None:
    chance = Random(1)
    calm = rounds(tmp_path / "calm", lambda: 0.0)
    wild = rounds(tmp_path / "wild", lambda: chance.random() / 20)
    assert calm == wild
    assert any(len(batch) == 4 for batch in calm[1])
    assert sum(map(len, calm[1])) > BLOCK / 10


def test_a_batch_that_timing_could_change_would_be_noticed(tmp_path: Path) -> None:
    async def eager(driver: Driver, number: int) -> str:
        await asyncio.sleep(number % 7 / 500)  # a flow that waits by itself is waited for
        outcome = await driver.call(local, Prompt(f"question {number}"))
        assert isinstance(outcome, Response)
        return outcome.text

    local = Local()
    whole = run(tmp_path / "a", eager, 40)
    parts = [*run(tmp_path / "b", eager, 20), *run(tmp_path / "c", lambda d, n: eager(d, n + 20), 20)]
    assert whole != parts  # the engine's answers do depend on what is asked together


def test_a_killed_and_resumed_run_has_the_batches_of_an_uninterrupted_one(tmp_path: Path) -> None:
    async def flow(driver: Driver, number: int) -> str:
        first = await driver.call(local, Prompt(f"question {number}"))
        assert isinstance(first, Response)
        second = await driver.call(local, Prompt(f"again {first.text}"))
        assert isinstance(second, Response)
        return second.text

    local = Local()
    whole, batches = run(tmp_path / "whole", flow, 30), local.seen
    local = Local(broken="question 21")
    with pytest.raises(ModelError, match="the weights are gone"):
        run(tmp_path / "resumed", flow, 30)
    before, local = local.seen, Local()
    assert run(tmp_path / "resumed", flow, 30) == whole
    assert before + local.seen == batches


def test_rounds_come_in_the_order_of_their_blocks(tmp_path: Path) -> None:
    async def flow(driver: Driver, number: int) -> str:
        if number == 0:  # keeps its block waiting, while the next one could go on
            await driver.call(slow, Prompt("wait"))
        outcome = await driver.call(local, Prompt(f"question {number % BLOCK}"))
        assert isinstance(outcome, Response)
        return outcome.text

    local = Local(BLOCK)
    with ChatServer() as server:
        slow = Slow(OpenAI(name="x", base_url=server.url, api_key_env=None), lambda: 0.3)
        run(tmp_path, flow, BLOCK + 9)
    assert [len(batch) for batch in local.seen] == [BLOCK]  # the second block asks nothing that the first has not


def test_local_models_of_a_judge_wait_for_the_whole_block(tmp_path: Path) -> None:
    first, second, store = Local(), Local(8, "judge"), Store(tmp_path)

    async def answer(number: int) -> str:
        outcome = await driver.call(first, Prompt(f"question {number}"))
        assert isinstance(outcome, Response)
        return outcome.text

    async def judge(text: str) -> str:
        outcome = await driver.call(second, Prompt(text))
        assert isinstance(outcome, Response)
        return outcome.text

    with Driver(store) as driver:
        found = list(driver.run(range(2 * BLOCK + 10), answer, judge))
    store.close()
    assert len(found) == 2 * BLOCK + 10
    assert [len(batch) for batch in second.seen] == [8] * (2 * BLOCK // 8) + [8, 2]
