"""What one endpoint bears: fewer requests while it is busy, probes while it is broken, an end where it stays so."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from mmsb.driver import Driver
from mmsb.errors import ModelError
from mmsb.model.governor import IN_A_ROW, Breaker, Gate
from mmsb.model.openai import OpenAI
from mmsb.store import Store
from mmsb.types import Failure, Outcome, Prompt, Response
from tests.endpoint import CUT, GARBAGE, Act, ChatServer, completion, error
from tests.test_openai import asked

pytestmark = pytest.mark.usefixtures("impatient")
TEXTS = [str(number) for number in range(500)]


@pytest.mark.parametrize("act", [error(500, "oops"), error(503, "down"), CUT, GARBAGE])
def test_an_endpoint_that_fails_everything_ends_the_run(act: Act) -> None:
    with ChatServer(act=lambda *_: act) as server, pytest.raises(ModelError) as caught:
        asked(server, TEXTS, give_up=0.2, patience=900)
    assert f"{server.url} has failed everything for 0.2 s" in caught.value.problem
    assert "the same command goes on" in caught.value.remedy
    assert len(server.requests) <= 3 * IN_A_ROW  # it was probed, not stormed


def test_an_endpoint_that_recovers_is_asked_again_and_nothing_is_lost() -> None:
    def act(text: str, attempt: int) -> Act | None:
        return error(500, "restarting") if len(server.requests) <= 3 * IN_A_ROW else None

    with ChatServer(act=act) as server:
        outcomes = asked(server, TEXTS[:60], give_up=60, patience=60)
    assert all(isinstance(outcome, Response) for outcome in outcomes.values())


def test_a_busy_endpoint_and_one_that_refuses_requests_are_not_broken() -> None:
    busy, wrong = error(429, "later", retry_after="0"), error(400, "no")
    acts = {"http_400": lambda *_: wrong, "rate_limit": lambda text, _: None if text == "0" else busy}
    for cause, act in acts.items():
        with ChatServer(act=act, delay=0.2) as server:
            # One is answered now and then: the others may have had bad luck.
            outcomes = asked(server, [*TEXTS[1:8], "0"], give_up=0.1, patience=0.3, concurrency=8)
        causes = {outcome.cause for outcome in outcomes.values() if isinstance(outcome, Failure)}
        assert causes == {cause}
        assert len(outcomes) == 8


def test_an_endpoint_that_is_too_busy_for_everybody_ends_the_run_and_one_prompt_does_not() -> None:
    with ChatServer(act=lambda *_: error(429, "requests per day", retry_after="0")) as server:
        assert asked(server, ["only"], patience=0.2)["only"] == Failure("rate_limit", "requests per day")
        with pytest.raises(
            ModelError, match=r"has answered nobody for 0.2 s \(rate_limit: requests per day\)"
        ) as caught:
            asked(server, TEXTS, patience=0.2, concurrency=4)
        assert len(server.attempts) <= 1 + 4  # those that had a place
    assert "patience=SECONDS waits longer" in caught.value.remedy


def test_a_busy_endpoint_gets_fewer_requests_at_a_time_and_more_again() -> None:
    gate = Gate(10)
    gate.busy()
    gate.busy()  # of the same swarm
    assert gate.places == 7
    for _ in range(8):
        gate.answered(0.1)
    assert 8 <= gate.places < 9
    for _ in range(100):
        gate.answered(0.1)
    assert gate.places == 10


def test_a_slow_endpoint_gets_fewer_requests_at_a_time_until_replies_are_quick() -> None:
    gate = Gate(10)
    gate.answered(0.1)
    gate.late()  # one of many: fewer at a time would not help it
    assert gate.places == 10
    for _ in range(10):
        gate.answered(0.9)
    gate.late()
    assert gate.places == 7
    gate.answered(0.9)
    assert gate.places == 7
    for _ in range(100):
        gate.answered(0.2)
    assert gate.places == 10


def test_a_model_that_is_slow_by_itself_keeps_places_and_gets_back_what_a_busy_moment_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmsb.model.governor.CALM", -1.0)
    gate = Gate(10)
    gate.busy()
    for _ in range(100):
        gate.answered(0.9)
    assert gate.places == 10  # nothing was late
    for _ in range(100):
        gate.late()
    assert 10 * 0.25 * 0.7 < gate.places <= 10 * 0.25


def test_a_server_that_answers_one_after_the_other_is_not_asked_for_more_than_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmsb.model.governor.CALM", 0.1)  # less than the time of a request, as in life
    free = 0.0  # when it has answered all that it was asked for, those among them that nobody waits for any more

    def queued(text: str, attempt: int) -> Act:
        nonlocal free
        free = max(free, time.monotonic()) + 0.01
        return Act(body=completion(text), delay=free - time.monotonic())

    with ChatServer(act=queued) as server:
        outcomes = asked(server, TEXTS[:120], concurrency=32, timeout=0.15)
    assert all(isinstance(outcome, Response) for outcome in outcomes.values())
    assert server.attempts.total() < 2 * len(outcomes)


async def inside(gate: Gate, people: int, on_entering: Any) -> int:
    """The most that were inside at a time."""
    here = most = 0

    async def visit() -> None:
        nonlocal here, most
        async with gate.place():
            here += 1
            most = max(most, here)
            on_entering(here)
            await asyncio.sleep(0)
            here -= 1

    await asyncio.gather(*(visit() for _ in range(people)))
    return most


def test_no_more_go_in_than_there_are_places_and_all_get_their_turn() -> None:
    assert asyncio.run(inside(Gate(3), 50, lambda here: None)) == 3


def test_who_gives_up_waiting_leaves_its_place_to_the_next() -> None:
    async def cancelled() -> bool:
        gate = Gate(1)
        async with gate.place():
            waiting = [asyncio.create_task(inside(gate, 1, lambda here: None)) for _ in range(2)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        await asyncio.wait(waiting)
        return waiting[1].result() == 1

    assert asyncio.run(cancelled())


def test_who_is_let_in_and_gives_up_in_the_same_moment_leaves_its_place() -> None:
    async def enter(gate: Gate) -> None:
        async with gate.place():
            pass

    async def through() -> None:
        gate = Gate(1)
        async with gate.place():
            waits = asyncio.create_task(enter(gate))
            await asyncio.sleep(0)
        waits.cancel()  # it has its turn by now, and did not take it yet
        with pytest.raises(asyncio.CancelledError):
            await waits
        async with asyncio.timeout(5):
            await enter(gate)

    asyncio.run(through())


def test_one_request_at_a_time_probes_an_endpoint_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsb.model.governor.PROBE_SECONDS", 0.0)

    async def probes() -> list[bool]:
        breaker = Breaker()
        for _ in range(IN_A_ROW):
            breaker.failed(0)
        first = asyncio.create_task(breaker.admit(float("inf"), float("inf")))
        second = asyncio.create_task(breaker.admit(float("inf"), float("inf")))
        await asyncio.sleep(0.05)
        let_in = [first.done(), second.done()]
        breaker.works()
        await second
        return [*let_in, breaker.open]

    assert asyncio.run(probes()) == [True, False, False]


def test_an_endpoint_has_failed_since_the_attempt_began_that_failed_first() -> None:
    breaker = Breaker(lambda: 30.0)
    breaker.failed(10.0)  # that hung for as long
    breaker.failed(29.0)
    assert breaker.failing_for == 20


def test_a_process_that_was_stopped_takes_what_came_meanwhile_and_blames_no_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("mmsb.model.awake.LATE", 0.2)

    async def ask(text: str) -> Outcome:
        if text == "0":  # to the loop this is as Ctrl-Z and `fg`
            asyncio.get_running_loop().call_later(0.1, time.sleep, 0.7)
        if text == "3":  # and this as having no processor while requests begin
            time.sleep(0.6)
        return await driver.call(model, Prompt(text))

    with ChatServer(delay=0.2) as server:
        store, model = Store(tmp_path), OpenAI(name="x", base_url=server.url, timeout=0.5, patience=0.6, give_up=0.3)
        with Driver(store, [model]) as driver:
            outcomes = list(driver.run(TEXTS[:20], ask))
        store.close()
        assert len(server.requests) == 20  # each was paid for once
    assert all(isinstance(outcome, Response) and 0 < outcome.seconds < 0.5 for outcome in outcomes)
