"""Several processes that share a store ask each prompt once between them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from mmsb.claims import Claims
from mmsb.driver import Driver
from mmsb.model.openai import OpenAI
from mmsb.store import Store
from mmsb.types import Outcome, Prompt, Response
from tests.endpoint import Act, ChatServer, completion, error
from tests.side_by_side import together

TEXTS = [f"question {number}" for number in range(12)]
FORK = multiprocessing.get_context("fork")


def ask(folder: Path, url: str, texts: list[str]) -> tuple[list[Outcome], int]:
    """The answers, and how many of them this asked for itself."""
    model = OpenAI(name="x", base_url=url, api_key_env=None, concurrency=4)
    store = Store(folder)
    with Driver(store, [model]) as driver:

        async def call(text: str) -> tuple[str, Outcome]:
            return text, await driver.call(model, Prompt(text))

        found = dict(driver.run(texts, call))
    store.close()
    return [found[text] for text in texts], driver.asked


def test_two_that_want_the_same_ask_it_once_and_both_have_it(tmp_path: Path) -> None:
    done: list[tuple[list[Outcome], int]] = []
    with ChatServer(delay=0.02) as server:
        together(*(lambda: done.append(ask(tmp_path, server.url, TEXTS)),) * 2)
    assert server.attempts.total() == len(TEXTS)
    assert sum(asked for _, asked in done) == len(TEXTS)
    assert done[0][0] == done[1][0]
    assert [answer.text for answer in done[0][0] if isinstance(answer, Response)] == [f"echo: {t}" for t in TEXTS]


def test_an_answer_that_came_after_the_store_was_opened_is_read_not_asked_for(tmp_path: Path) -> None:
    with ChatServer() as server:
        model = OpenAI(name="x", base_url=server.url, api_key_env=None)
        store = Store(tmp_path)
        assert len(store.shelf(model)) == 0
        ask(tmp_path, server.url, ["late"])
        with Driver(store, [model]) as driver:

            async def call(text: str) -> Outcome:
                return await driver.call(model, Prompt(text))

            assert [answer.text for answer in driver.run(["late"], call)] == ["echo: late"]
            assert driver.asked == 0
        store.close()
    assert server.attempts == {"late": 1}


def test_news_is_not_lost_on_a_claim_for_what_is_known(tmp_path: Path) -> None:
    model = OpenAI(name="x", api_key_env=None)
    ours, theirs = Store(tmp_path).shelf(model), Store(tmp_path).shelf(model)
    known, next_one = Prompt("known").key, Prompt("next").key
    theirs.add(known, Response("a"))
    ours.read_new()
    theirs.add(next_one, Response("b"))

    async def claims() -> bool:
        async with ours.claim(known):
            pass
        async with ours.claim(next_one):
            return next_one in ours

    assert asyncio.run(claims())


def test_what_the_first_could_not_get_is_asked_again_by_the_second(tmp_path: Path) -> None:
    def act(text: str, attempt: int) -> Act:
        refused = error(400, "not now")
        return Act(refused.status, refused.body, delay=0.1) if attempt == 1 else Act(body=completion("said"))

    done: list[tuple[list[Outcome], int]] = []
    with ChatServer(act=act) as server:
        together(*(lambda: done.append(ask(tmp_path, server.url, ["once"])),) * 2)
    assert sorted(type(answers[0]).__name__ for answers, _ in done) == ["Failure", "Response"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_what_a_killed_process_was_asking_is_taken_over(tmp_path: Path) -> None:
    arrived, killed, too_early = threading.Event(), threading.Event(), []

    def act(text: str, attempt: int) -> Act | None:
        arrived.set()
        too_early.append(attempt > 1 and not killed.is_set())
        return Act(delay=3600) if attempt == 1 else None

    def kill() -> None:
        killed.set()
        os.kill(first.pid or 0, signal.SIGKILL)

    with ChatServer(act=act) as server:
        first = FORK.Process(target=ask, args=(tmp_path, server.url, ["wanted"]))
        first.start()
        assert arrived.wait(20)
        threading.Timer(0.2, kill).start()
        answers, asked = ask(tmp_path, server.url, ["wanted"])
        first.join()
    assert asked == 1
    assert isinstance(answers[0], Response)
    assert server.attempts == {"wanted": 2}
    assert not any(too_early)


def test_a_claim_is_no_hindrance_to_other_prompts_and_ends_with_who_waits(tmp_path: Path) -> None:
    async def claims() -> list[bool]:
        one, other = Claims(tmp_path), Claims(tmp_path)
        async with one.claim("0" * 32), other.claim("f" * 32):
            waiting = asyncio.create_task(anext(aiter_claim(other, "0" * 32)))
            await asyncio.sleep(0.01)
            held = [waiting.done()]
            waiting.cancel()
            await asyncio.wait([waiting])
        async with other.claim("0" * 32) as news:
            return [*held, news]

    assert asyncio.run(claims()) == [False, False]


def test_who_waits_long_for_another_process_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mmsb.claims.LONG", 0.02)
    monkeypatch.setattr("mmsb.claims.LOOK", 0.01)

    async def claims() -> None:
        one, other = Claims(tmp_path / "model-0"), Claims(tmp_path / "model-0")

        async def wait() -> None:
            async with other.claim("0" * 32):
                pass

        for _ in range(2):
            async with one.claim("0" * 32):
                waiting = asyncio.create_task(wait())
                await asyncio.sleep(0.1)
            await waiting

    asyncio.run(claims())
    assert capsys.readouterr().err.count("another process has been asking model-0 for the same answer") == 1


async def aiter_claim(claims: Claims, key: str):  # type: ignore[no-untyped-def]
    async with claims.claim(key):
        yield
