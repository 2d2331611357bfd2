"""What is all in the store is followed to its end in one go; what is not begins anew, with the same outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mmsb.driver import Driver
from mmsb.flow import Flow, Unanswered, answered, gather
from mmsb.model.endpoints import Endpoints
from mmsb.pipeline import PAUSE, AtOnce
from mmsb.store import Store
from mmsb.types import Failure, Outcome, Prompt, Response
from tests.driving import Local

Way = Callable[[Driver, int], Awaitable[Any]]


class Echo:
    """A live engine that says what it is asked; it fails what begins with "no", and notes all."""

    name, repeats = "echo", 1

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "echo"}

    @asynccontextmanager
    async def session(self, endpoints: Endpoints) -> AsyncIterator[Callable[[Prompt], Awaitable[Outcome]]]:
        async def say(prompt: Prompt) -> Outcome:
            await asyncio.sleep(0)
            self.asked.append(prompt.text)
            return Failure("no", prompt.text) if prompt.text.startswith("no") else Response(prompt.text.upper())

        yield say


def followed(folder: Path, way: Way, numbers: range) -> dict[int, tuple[Any, bool]]:
    """What the way brings for each number, and whether that was in one go."""
    store = Store(folder)

    async def stage(number: int) -> tuple[int, Any, bool]:
        found = await way(driver, number)
        return number, found, Flow.current().at_once

    with Driver(store) as driver:
        ended = list(driver.run(numbers, stage, at_once=True))
    store.close()
    assert len(ended) == len(numbers)
    return {number: (found, at_once) for number, found, at_once in ended}


def both(echo: Echo) -> Way:
    """Two questions side by side, then one that is made of their answers."""

    async def way(driver: Driver, number: int) -> str:
        first = await gather(*(driver.call(echo, Prompt(f"{word} {number}")) for word in ("one", "two")))
        whole = answered(await driver.call(echo, Prompt(" and ".join(answered(one).text for one in first))))
        return f"{whole.text} {len(Flow.current().calls)}"

    return way


def test_a_finished_run_is_followed_in_one_go_with_the_same_outcome_and_calls(tmp_path: Path) -> None:
    echo = Echo()
    live = followed(tmp_path, both(echo), range(40))
    asked = len(echo.asked)
    again = followed(tmp_path, both(echo), range(40))
    assert [at_once for _, at_once in live.values()] == [False] * 40
    assert [at_once for _, at_once in again.values()] == [True] * 40
    assert {number: found for number, (found, _) in live.items()} == {n: found for n, (found, _) in again.items()}
    assert live[3][0] == "ONE 3 AND TWO 3 3"
    assert len(echo.asked) == asked


def test_what_is_missing_is_asked_between_what_is_there(tmp_path: Path) -> None:
    echo = Echo()
    followed(tmp_path, both(echo), range(0, 60, 2))
    echo.asked.clear()
    found = followed(tmp_path, both(echo), range(60))
    assert {number: text for number, (text, _) in found.items()} == {n: f"ONE {n} AND TWO {n} 3" for n in range(60)}
    assert sorted(echo.asked) == sorted(
        text for n in range(1, 60, 2) for text in (f"one {n}", f"two {n}", f"ONE {n} and TWO {n}")
    )


def test_a_failure_is_asked_again_and_the_first_in_order_is_raised(tmp_path: Path) -> None:
    echo = Echo()

    async def way(driver: Driver, number: int) -> str:
        async def one(text: str) -> str:
            return answered(await driver.call(echo, Prompt(text))).text

        async def broken(text: str) -> str:
            await one("yes")
            raise Unanswered(Failure("own", text))

        try:
            return " ".join(await gather(one("yes"), broken("first"), broken("second")))
        except Unanswered as error:
            return f"{error} {await one('after')} {(await driver.call(echo, Prompt(f'no {number % 2}')))!r:.12}"

    assert (
        followed(tmp_path, way, range(9))
        == {number: ("first AFTER Failure(caus", False) for number in range(9)}
        == followed(tmp_path, way, range(9))
    )
    assert echo.asked.count("after") == 1
    assert echo.asked.count("no 0") >= 2


def test_calls_of_local_models_wait_for_their_round_though_they_are_stored(tmp_path: Path) -> None:
    async def way(driver: Driver, number: int) -> str:
        return answered(await driver.call(local, Prompt(f"{number}"))).text

    local = Local()
    runs = [followed(tmp_path, way, range(12)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert {at_once for _, at_once in runs[1].values()} == {False}


def test_a_flow_that_waits_for_something_else_begins_anew(tmp_path: Path) -> None:
    async def way(driver: Driver, number: int) -> str:
        said = answered(await driver.call(echo, Prompt(f"{number % 3}"))).text
        if number % 2:
            await asyncio.sleep(0.001)
        return said

    echo = Echo()
    for _ in range(2):
        found = followed(tmp_path, way, range(20))
        assert {number: said for number, (said, _) in found.items()} == {n: str(n % 3) for n in range(20)}
    assert found[0] == ("0", True)
    assert not any(found[number][1] for number in range(1, 20, 2))


def test_an_error_ends_the_run_as_it_does_in_a_task(tmp_path: Path) -> None:
    async def way(driver: Driver, number: int) -> str:
        if number == 5:
            raise ValueError("five")
        return str(number)

    with pytest.raises(ValueError, match="five"):
        followed(tmp_path, way, range(9))


def test_where_all_is_missing_few_are_tried_and_after_one_that_was_there_all() -> None:
    tries = AtOnce()
    tried = 0
    for _ in range(100 * (PAUSE + 1)):
        if tries.worth_it():
            tried += 1
            tries.failed()
    assert 100 <= tried <= 110
    while not tries.worth_it():
        pass
    tries.went_well()
    assert [tries.worth_it() for _ in range(5)] == [True] * 5
