"""One driver asks for all flows: within limits, in batches that timing cannot change, each thing once."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

import mmsb
from mmsb.defense.base import Ask, defended
from mmsb.defense.guard import Guard
from mmsb.driver import Driver
from mmsb.errors import ConfigError, StoreError
from mmsb.flow import Flow
from mmsb.judge.base import judged
from mmsb.judge.rubric import Rubric
from mmsb.model.endpoints import Endpoints
from mmsb.model.openai import OpenAI
from mmsb.store import Shelf, Store
from mmsb.types import Failure, Outcome, Prompt, Response, Result, Sample
from tests.defending import PICTURE, PROMPT, ask_one, option, target
from tests.driving import Local, Slow, run
from tests.endpoint import ChatServer, text_of
from tests.judging import SCENARIOS, question, scripted

OURS = f"{Path(mmsb.__file__).parent}/"  # a checkout may be in a folder "mmsb", too


def test_equal_prompts_are_asked_once_and_a_failure_reaches_all_that_wait(tmp_path: Path) -> None:
    with ChatServer(delay=0.05) as server:
        model = OpenAI(name="x", base_url=server.url, api_key_env=None, max_image_bytes=10)
        same = run(tmp_path / "a", lambda driver, _: driver.call(model, Prompt("same")), 50)
        assert len({outcome.text for outcome in same if isinstance(outcome, Response)}) == 1
        assert len(server.requests) == 1
        too_large = run(tmp_path / "b", lambda driver, _: driver.call(model, Prompt("same", PICTURE)), 5)
    assert all(isinstance(outcome, Failure) for outcome in too_large)


class Halves:
    """A live engine that answers with half a character."""

    name, repeats = "halves", 1

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "halves"}

    @asynccontextmanager
    async def session(self, endpoints: Endpoints) -> AsyncIterator[Callable[[Prompt], Awaitable[Outcome]]]:
        async def answer(prompt: Prompt) -> Outcome:
            return Response("a\ud83d")

        yield answer


def test_what_a_flow_is_given_is_what_a_later_run_reads(tmp_path: Path) -> None:
    first, later = (run(tmp_path, lambda driver, _: driver.call(Halves(), Prompt("a")), 1) for _ in range(2))
    assert first == later == [Response("a\ufffd")]


def test_where_no_answer_can_be_kept_none_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Shelf, key: str, response: Response) -> Response:
        raise StoreError("the disk is full")

    async def patient(driver: Driver, number: int) -> Outcome | None:
        with suppress(StoreError):
            return await driver.call(model, Prompt(str(number)))
        return None

    monkeypatch.setattr(Shelf, "add", full)
    with ChatServer() as server:
        model = OpenAI(name="x", base_url=server.url, api_key_env=None, concurrency=1)
        assert run(tmp_path, patient, 20) == [None] * 20
    assert len(server.requests) == 1


def test_asyncios_own_gather_is_refused_in_a_flow(tmp_path: Path) -> None:
    async def flow(driver: Driver, number: int) -> object:
        return await asyncio.gather(*(driver.call(Local(), Prompt(f"{number} {n}")) for n in range(2)))

    with pytest.raises(ConfigError, match="a task that the driver does not know") as refused:
        run(tmp_path, flow, 3)
    assert "await mmsb.flow.gather(...)" in refused.value.remedy


def test_a_flow_may_stop_waiting_for_a_local_model(tmp_path: Path) -> None:
    local = Local()

    async def flow(driver: Driver, number: int) -> str:
        if number == 0:
            waits = Flow.current().beside([slowly(driver), impatient()])
            with pytest.raises(KeyError):
                await waits
        outcome = await driver.call(local, Prompt(f"question {number}"))
        assert isinstance(outcome, Response)
        return outcome.text

    async def slowly(driver: Driver) -> None:
        await driver.call(local, Prompt("never answered"))

    async def impatient() -> None:
        await asyncio.sleep(0.1)  # by now all other flows wait
        raise KeyError("enough")

    assert len(run(tmp_path, flow, 9)) == 9
    assert not [batch for batch in local.seen if "never answered" in batch]


def test_an_error_in_a_flow_ends_the_run_at_once(tmp_path: Path) -> None:
    async def flow(driver: Driver, number: int) -> object:
        if number == 7:
            raise ValueError("a bug")
        return await driver.call(Local(), Prompt(str(number)))

    before = threading.active_count()
    with pytest.raises(ValueError, match="a bug"):
        run(tmp_path, flow, 10_000)
    assert threading.active_count() <= before + 1  # the local models' thread ends with what it is at


def frames(depth: int, tmp_path: Path) -> int:
    """Frames of ours on the stack where the model is asked, under so many nested defenses."""
    seen: list[int] = []

    class Looking(Slow):
        @asynccontextmanager
        async def session(self, endpoints: Endpoints) -> AsyncIterator[Callable[[Prompt], Awaitable[Outcome]]]:
            async def ask(prompt: Prompt) -> Outcome:
                seen.append(sum(frame.filename.startswith(OURS) for frame in traceback.extract_stack()))
                return Response("no")

            yield ask

    model = Looking(OpenAI(name="x", base_url="http://x/v1", api_key_env=None), lambda: 0)
    store = Store(tmp_path / str(depth))
    defenses = [option("ecso"), option("output_guard"), option("random_crops")][:depth]

    async def flow(prompt: Prompt) -> Outcome:
        return await defended(prompt, model, defenses, driver.call)

    with Driver(store) as driver:
        assert len(list(driver.run([PROMPT], flow))) == 1
    store.close()
    return max(seen)


def test_nested_defenses_do_not_deepen_the_stack(tmp_path: Path) -> None:
    bare = frames(0, tmp_path)
    assert bare <= 8
    assert all(frames(depth, tmp_path) <= bare + depth for depth in (1, 2, 3))


def test_a_hundred_and_twenty_votes_are_counted(tmp_path: Path) -> None:
    with target(tmp_path) as (model, server):
        response = ask_one(model, option("random_crops", votes=120))
        assert len(server.requests) == 120
        assert server.most <= 32
    assert response.calls == 120
    assert [step.role for step in response.steps] == [f"vote {n}" for n in range(1, 121)]


@pytest.mark.parametrize("name", ["ecso", "input_guard", "random_crops", "caption_then_answer"])
def test_limits_hold_for_target_defense_and_judge_together(name: str, tmp_path: Path) -> None:
    def reply(text: str) -> str:
        return "yes" if "yes or no" in text else "safe" if "unsafe" in text else "Here are the steps."

    with ChatServer(lambda messages: reply(text_of(messages)), delay=0.005) as server:
        settings = {"base_url": server.url, "api_key_env": None}
        model = OpenAI(name="x", concurrency=4, **settings)  # type: ignore[arg-type]
        judge = Rubric(model=OpenAI(name="y", **settings))  # type: ignore[arg-type]
        found = evaluated(model, judge, [option(name)], tmp_path, 25)
        assert 2 <= server.most <= 4  # how many meet at the server depends on how busy the machine is
        assert all(isinstance(result.outcome, Response) for result in found)


def test_a_rate_holds_for_target_and_defense_together(tmp_path: Path) -> None:
    with ChatServer() as server:
        model = OpenAI(name="x", base_url=server.url, api_key_env=None, requests_per_second=20)
        evaluated(model, Rubric(model=scripted("safe")), [option("output_guard")], tmp_path, 12)
        first, *_, last = sorted(server.times)
        assert len(server.times) == 24
        assert last - first >= 23 / 20 - 0.05


def evaluated(
    model: OpenAI, judge: Rubric, defenses: list[Guard], folder: Path, count: int, repeat: str = "Say it"
) -> list[Result]:
    """Finished rows of mild samples, answered and judged as an evaluation does."""
    fraud, store = SCENARIOS["fraud"], Store(folder)
    samples = [Sample(str(n), Prompt(f"{repeat} {n}.", PICTURE), question(fraud), fraud) for n in range(count)]

    async def answer(sample: Sample) -> tuple[Sample, Outcome]:
        return sample, await defended(sample.prompt, model, defenses, driver.call)

    async def verdict(answered: tuple[Sample, Outcome]) -> Result:
        return await judged(judge, *answered, driver.call)

    with Driver(store, [model, judge.model]) as driver:
        found = list(driver.run(samples, answer, verdict))
    store.close()
    return found


def test_no_engine_is_ever_shown_a_text_of_the_question(tmp_path: Path) -> None:
    guards = [
        option(name, judge={"_target_": "mmsb.judge.refusal.Refusal"}) for name in ("input_guard", "output_guard")
    ]
    defenses = [*guards, option("ecso"), option("ocr_guard"), option("caption_then_answer"), option("random_crops")]
    with ChatServer(lambda messages: "Yes, it is.") as server:
        model = OpenAI(name="x", base_url=server.url, api_key_env=None)
        for defense in defenses:
            evaluated(model, Rubric(model=scripted("safe")), [defense], tmp_path / defense.name, 2)
        shown = [text_of(request["messages"]) for request in server.requests]
    hidden = question(SCENARIOS["fraud"])
    secrets = [*hidden.texts.values(), *hidden.metadata.values(), SCENARIOS["fraud"].title, hidden.scenario]
    assert len(shown) > 10
    assert not [text for text in shown for secret in secrets if secret.lower() in text.lower()]


def test_what_a_defense_asks_is_noted_in_the_order_of_asking(tmp_path: Path) -> None:
    with target(tmp_path, lambda text, image: "no") as (model, _):
        response = ask_one(model, [option("input_guard"), option("ecso")])
    assert [step.role for step in response.steps] == ["is it harmful?", "answer", "is it harmful?", "answer"]
    assert response.calls == 3


def test_ask_is_what_a_defense_gets() -> None:
    assert {"model", "helper", "screen", "reading"} <= set(dir(Ask))
