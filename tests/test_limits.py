"""One endpoint's limits hold over all processes that share a store, whoever of them dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mmsb.driver import Driver
from mmsb.model.endpoints import Endpoints
from mmsb.model.governor import Gate
from mmsb.model.limits import Limits, Next, Shared, divided
from mmsb.model.openai import OpenAI
from mmsb.model.pace import PICTURE, Estimate
from mmsb.picture import FilePicture
from mmsb.store import Store
from mmsb.types import Prompt, Response
from tests.endpoint import ChatServer
from tests.side_by_side import together


def work(folder: Path, url: str, texts: Iterable[str], **settings: Any) -> Callable[[], None]:
    """What one process does: all of it but the process, whose part a store of its own has."""

    def ask() -> None:
        model = OpenAI(name="x", base_url=url, api_key_env=None, **settings)
        store = Store(folder)
        with Driver(store, [model]) as driver:

            async def call(text: str) -> Any:
                return await driver.call(model, Prompt(text))

            assert all(isinstance(answer, Response) for answer in driver.run(texts, call))
        store.close()

    return ask


def texts(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


@pytest.mark.parametrize(("places", "most"), [((5, 5, 5), 5), ((6, 2), 6), ((1, 1), 1)])
def test_no_more_requests_are_under_way_than_one_process_may_have(
    places: tuple[int, ...], most: int, tmp_path: Path
) -> None:
    with ChatServer(delay=0.02) as server:
        works = [work(tmp_path, server.url, texts(f"w{n}", 10), concurrency=c) for n, c in enumerate(places)]
        together(*works)
    assert server.attempts.total() == 10 * len(places)
    assert server.most <= most


def test_how_many_requests_an_endpoint_bears_is_known_to_the_next_run(tmp_path: Path) -> None:
    async def places(met: Callable[[Gate], object], folder: str = "one") -> tuple[float, float]:
        model = OpenAI(name="x", base_url="http://127.0.0.1:9/v1", concurrency=16)
        endpoints = Endpoints([model], lambda _: pytest.fail("nothing is stored"), tmp_path / folder)
        gate = endpoints.of(model)[0].gate
        before = gate.places
        met(gate)
        await endpoints.close()
        return before, gate.places

    def well(gate: Gate) -> None:
        while gate.limited:
            gate.answered(0.1)

    begun, fallen = asyncio.run(places(Gate.busy))
    assert fallen < begun == 16
    assert asyncio.run(places(Gate.busy, "another"))[0] == 16  # limits are shared within a store
    assert asyncio.run(places(well)) == (fallen, 16)
    assert asyncio.run(places(well))[0] == 16


def test_a_rate_holds_over_all(tmp_path: Path) -> None:
    with ChatServer() as server:
        together(*(work(tmp_path, server.url, texts(f"w{n}", 8), requests_per_second=40) for n in range(2)))
    times = sorted(server.times)
    assert times[-1] - times[0] >= 15 / 40 - 0.02


def test_tokens_a_minute_hold_over_all_and_replies_correct_the_guess(tmp_path: Path) -> None:
    with ChatServer() as server:  # which counts ten tokens a request
        limits = {"tokens_per_minute": 10 * 60 * 40, "max_tokens": 8}
        together(*(work(tmp_path, server.url, texts(f"w{n}", 8), **limits) for n in range(2)))
    times = sorted(server.times)
    assert times[-1] - times[0] >= 0.8 * 15 / 40


def test_those_that_wait_go_as_soon_as_replies_say_that_less_was_taken(tmp_path: Path) -> None:
    with ChatServer() as server:
        # Ten tokens, of which a second has 100; 400 are guessed before the first reply.
        together(work(tmp_path, server.url, texts("w", 5), tokens_per_minute=100 * 60, max_tokens=400))
    assert 0.8 * 4 / 10 <= server.times[-1] - server.times[0] < 3  # four seconds each, by the guess


def member(folder: Path, places: int, **limits: float) -> Shared:
    return Shared(folder, Limits(places, **limits))


def test_places_are_shared_by_those_who_want_them(tmp_path: Path) -> None:
    first = member(tmp_path, 8)
    assert first.share(20, 0) == 8  # alone
    second = member(tmp_path, 8)
    assert second.share(20, 0) == 0  # the first still holds them all
    assert first.share(20, 8) == 4  # the eight under way go on, but none is begun before four have ended
    assert second.share(20, 0) == 0
    assert first.share(20, 4) == 4
    assert second.share(20, 0) == 4
    assert second.share(0, 0) == 0  # done
    assert first.share(20, 4) == 8


def test_the_strictest_limits_hold_for_all(tmp_path: Path) -> None:
    first, second = member(tmp_path, 8), member(tmp_path, 2, requests=5, tokens=100)
    assert first.share(20, 0) == 2
    assert first.strictest == Limits(2, 5, 100)
    second.close()
    assert first.share(20, 0) == 8
    assert not first.paced


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    killed, other = member(tmp_path, 4), member(tmp_path, 4)
    assert killed.share(4, 4) >= 0
    assert other.share(4, 0) == 0
    os.close(killed._file)  # as the system does
    assert other.share(4, 0) == 4
    assert [path.name for path in tmp_path.glob("*.member")] == [other._me.name]


def test_what_a_stopped_process_held_is_free_after_a_while_until_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, other = member(tmp_path, 4), member(tmp_path, 4)
    assert stopped.share(4, 0) == 4
    assert other.share(4, 0) == 0
    monkeypatch.setattr("mmsb.model.limits.STILL", -2.0)
    assert other.share(4, 0) == 4
    monkeypatch.undo()
    assert stopped.share(4, 4) == 0  # those under way end, and none is begun before the other's have


def test_turns_are_taken_one_by_one_and_tokens_are_corrected(tmp_path: Path) -> None:
    one, other = member(tmp_path, 4, tokens=600), member(tmp_path, 4, tokens=600)
    assert one.turn(100) == 0
    assert 10 < other.turn(1) <= 10.2  # seconds: 600 tokens a minute are ten a second
    one.correct(-50)
    assert 4.5 < other.turn(1) <= 5.1
    one.correct(-50)
    assert other.turn(100) == 0


def test_a_request_that_waited_for_its_connection_holds_up_those_that_began_after_it(tmp_path: Path) -> None:
    one, other = member(tmp_path, 4, requests=0.001), member(tmp_path, 4, requests=0.001)
    assert one.turn(0) == 0
    clock = one._next()
    one._set(Next(clock.boot, request=0.0))  # its time has passed, and it is not sent yet
    assert other.turn(0) == 0
    assert one.start() == 0
    assert other.start() > 900


def test_each_request_is_sent_when_it_has_its_connection_and_not_when_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    start, connect = Shared.start, aiohttp.TCPConnector._create_connection

    def starting(self: Shared) -> float:
        if not (later := start(self)):
            seen.append("sent")
        return later

    async def connecting(self: aiohttp.TCPConnector, *given: Any) -> Any:
        made = await connect(self, *given)
        seen.append("connected")
        return made

    monkeypatch.setattr(Shared, "start", starting)
    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", connecting)
    with ChatServer() as server:
        work(tmp_path, server.url, texts("w", 3), requests_per_second=1000, concurrency=1)()
    assert seen == ["connected", "sent", "sent", "sent"]


def test_a_clock_of_before_a_restart_holds_nobody_up(tmp_path: Path) -> None:
    one = member(tmp_path, 4, requests=0.001)
    assert one.turn(0) == 0
    assert one.turn(0) > 900
    one._boot = "another"
    assert one.turn(0) == 0


def test_places_are_divided_evenly_as_far_as_they_are_wanted_and_the_rest_goes_round() -> None:
    assert divided(8, {"a": 2, "b": 20, "c": 20}, 0) == {"a": 2, "b": 3, "c": 3}
    assert divided(8, {"a": 1, "b": 2}, 0) == {"a": 1, "b": 2}
    alone = [divided(1, {"a": 9, "b": 9, "c": 9}, turn) for turn in range(3)]
    assert [next(name for name, places in given.items() if places) for given in alone] == ["a", "b", "c"]
    assert divided(7, {"a": 9, "b": 9, "c": 9}, 1) == {"a": 2, "b": 3, "c": 2}


def test_the_tokens_of_a_request_are_guessed_and_then_learned() -> None:
    estimate, prompt = Estimate(longest=500), Prompt("x" * 396)
    assert estimate.of(prompt) == 600
    estimate.learn(prompt, Response("", input_tokens=300, output_tokens=20))
    estimate.learn(prompt, Response("", input_tokens=300, output_tokens=40))
    estimate.learn(prompt, Response("no usage"))
    assert estimate.of(prompt) == 330
    assert estimate.of(Prompt("x" * 796)) == 630
    assert estimate.of(replace(prompt, image=FilePicture("a.jpg"))) == 330 + 3 * PICTURE


def test_a_process_leaves_while_nobody_is_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has listed the others would else find a file gone, which ends its run."""
    process, free = Shared(tmp_path, Limits(2)), []
    unlink = Path.unlink

    def looked_at(path: Path, missing_ok: bool = False) -> None:
        lock = os.open(tmp_path / "lock", os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(path)
        except BlockingIOError:
            pass
        os.close(lock)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", looked_at)
    process.close()
    assert free == []
    assert list(tmp_path.glob("*.member")) == []
