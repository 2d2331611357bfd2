"""Several servers of one model, and second requests for late ones."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mmsb.bill import Bill
from mmsb.budget import Budget, Purse
from mmsb.cost import Costs
from mmsb.driver import Driver
from mmsb.errors import ConfigError, ModelError
from mmsb.flow import Flow
from mmsb.model.openai import OpenAI
from mmsb.store import Store
from mmsb.types import Failure, Outcome, Prompt, Response
from tests.endpoint import CUT, HANG, Act, ChatServer, completion, error

TEXTS = [f"question {number}" for number in range(40)]
DEAD = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsb.model.route.PROBE_SECONDS", 0.05)
    monkeypatch.setattr("mmsb.model.endpoint.WELL_SECONDS", 0.2)


def model(*urls: str, **settings: Any) -> OpenAI:
    return OpenAI(name="x", base_url=urls, api_key_env=None, **{"concurrency": 4, "timeout": 20} | settings)


def asked(engine: OpenAI, texts: list[str], purse: Purse | None = None) -> tuple[list[Outcome], Costs]:
    costs = Costs()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        with Driver(store, [engine], purse) as driver:

            async def call(text: str) -> tuple[str, Outcome]:
                answer = await driver.call(engine, Prompt(text))
                costs.add(Flow.current().calls)
                return text, answer

            found = dict(driver.run(texts, call))
        store.close()
    return [found[text] for text in texts], costs


def right(outcomes: list[Outcome], texts: list[str]) -> bool:
    return [outcome.text for outcome in outcomes if isinstance(outcome, Response)] == [f"echo: {t}" for t in texts]


def test_servers_share_the_prompts_and_the_run_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer(delay=0.01) as one, ChatServer(delay=0.01) as other:
        outcomes, _ = asked(model(one.url, other.url), TEXTS)
        shares = len(one.requests), len(other.requests)
    assert right(outcomes, TEXTS)
    assert sum(shares) == len(TEXTS)
    assert min(shares) >= 10
    told = capsys.readouterr().err
    assert f"x was answered by {one.url} {shares[0]}, {other.url} {shares[1]}" in told


def test_the_busier_one_gets_less() -> None:
    with ChatServer(delay=0.1) as slow, ChatServer(delay=0.005) as quick:
        outcomes, _ = asked(model(slow.url, quick.url), TEXTS)
    assert right(outcomes, TEXTS)
    assert len(slow.requests) < len(quick.requests)


@pytest.mark.parametrize("act", [error(500, "oops"), CUT])
def test_one_that_fails_is_left_out_and_comes_back(act: Act) -> None:
    def sick(text: str, attempt: int) -> Act | None:
        return act if len(bad.requests) <= 6 else None  # well again, once its share was failed

    def late(text: str, attempt: int) -> Act | None:
        waits = len(good.requests) > 10 and len(bad.requests) <= 6
        return Act(body=completion(f"echo: {text}"), delay=0.5) if waits else None

    with ChatServer(act=sick) as bad, ChatServer(act=late) as good:
        outcomes, _ = asked(model(bad.url, good.url), TEXTS)
    assert right(outcomes, TEXTS)
    assert len(bad.requests) > 6
    assert len(good.requests) < len(TEXTS)


def test_one_where_nothing_listens_costs_nothing_but_a_moment() -> None:
    with ChatServer() as good:
        outcomes, _ = asked(model(DEAD, good.url), TEXTS)
    assert right(outcomes, TEXTS)


def test_where_all_are_dead_the_run_ends() -> None:
    with pytest.raises(ModelError, match="nothing answers"):
        asked(model(DEAD, "http://127.0.0.1:7/v1"), TEXTS[:3])


def test_one_that_has_not_the_model_ends_the_run_by_its_name() -> None:
    with (
        ChatServer(act=lambda *_: error(404, "no")) as wrong,
        ChatServer() as good,
        pytest.raises(ModelError) as caught,
    ):
        asked(model(good.url, wrong.url), TEXTS)
    assert f"{wrong.url} has no model name=x" in caught.value.problem


def test_one_that_refuses_everything_is_left_out_and_the_run_ends_only_where_none_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = [f"question {number}" for number in range(150)]

    def refuses(*_: object) -> Act:
        return error(400, "no templates here")

    with ChatServer(act=refuses) as wrong, ChatServer(delay=0.01) as good:
        outcomes, _ = asked(model(wrong.url, good.url), texts)
    assert right(outcomes, texts)  # what it refused was asked of the other one, which answers
    assert 50 <= len(wrong.requests) <= 50 + 2 * 4  # and what was on its way, while one was asked again
    told = f"{wrong.url} refuses every request to x (no templates here): it is left out, the others go on."
    assert capsys.readouterr().err.count(told) == 1
    with ChatServer(act=refuses) as one, ChatServer(act=refuses) as other, pytest.raises(ModelError) as caught:
        asked(model(one.url, other.url), texts)
    assert "refuses every request to x (HTTP 400: no templates here)" in caught.value.problem
    with ChatServer(act=lambda text, _: refuses() if text == "poison" else None) as one, ChatServer() as other:
        assert right(asked(model(one.url, other.url), ["poison", *TEXTS])[0], ["poison", *TEXTS])


def test_what_no_server_answers_fails_after_each_was_tried() -> None:
    acts = {"poison": error(500, "oops")}
    with ChatServer(act=lambda text, _: acts.get(text)) as one, ChatServer(act=lambda text, _: acts.get(text)) as other:
        # Less than the shortest wait before a third attempt, and long enough for the second on a busy machine.
        outcomes, _ = asked(model(one.url, other.url, patience=0.45), ["poison", *TEXTS[:4]])
    assert isinstance(outcomes[0], Failure)
    assert right(outcomes[1:], TEXTS[:4])
    assert one.attempts["poison"] == other.attempts["poison"] == 1


def test_the_first_server_is_what_answers_are_stored_under() -> None:
    first, second, both = model("http://a/v1"), model("http://b/v1"), model("http://a/v1/", "http://b/v1")
    assert first.fingerprint() == both.fingerprint() != second.fingerprint()
    assert OpenAI(name="x", base_url="http://a/v1", api_key_env=None).fingerprint() == first.fingerprint()


@pytest.mark.parametrize("urls", [(), ("http://a/v1", "http://a/v1/"), ("http://a/v1", "ftp://b")])
def test_servers_are_named_once_each(urls: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        model(*urls)


def test_a_late_request_gets_a_second_one_and_both_are_counted(tmp_path: Path) -> None:
    purse = Purse(Budget(calls=10), tmp_path / "spent.json", None)
    with ChatServer(act=lambda text, attempt: HANG if text == "late" and attempt == 1 else None) as server:
        outcomes, costs = asked(model(server.url, hedge_after=0.1), ["late", "quick"], purse)
    assert right(outcomes, ["late", "quick"])
    assert server.attempts == {"late": 2, "quick": 1}
    late, quick = outcomes
    assert isinstance(late, Response)
    assert isinstance(quick, Response)
    assert (late.calls, late.input_tokens, late.output_tokens) == (2, 14, 6)
    assert (quick.calls, quick.input_tokens, quick.output_tokens) == (1, 7, 3)
    assert late.seconds >= 0.1
    (line,) = costs.record(None)["lines"]
    assert (line["calls"], line["input_tokens"], line["output_tokens"]) == (3, 21, 9)
    assert json.loads((tmp_path / "spent.json").read_text())["calls"] == 3
    purse.close()
    bill = Bill(tmp_path / "bill.json", None)
    for outcome in outcomes:
        bill.add("x", outcome)
    assert (bill.lines["x"].calls, bill.lines["x"].input_tokens) == (3, 21)


def test_the_second_goes_to_another_server() -> None:
    with ChatServer(act=lambda *_: HANG) as stuck, ChatServer(delay=0.15) as good:
        outcomes, _ = asked(model(stuck.url, good.url, hedge_after=0.05), ["a"])
        outcomes += asked(model(good.url, stuck.url, hedge_after=0.05), ["b"])[0]
    assert right(outcomes, ["a", "b"])
    assert len(stuck.requests) == len(good.requests) == 2


def test_there_is_no_second_request_without_a_place_or_money_for_it(tmp_path: Path) -> None:
    purse = Purse(Budget(calls=3), tmp_path / "spent.json", None)
    with ChatServer(delay=0.15) as server:
        outcomes, _ = asked(model(server.url, concurrency=2, hedge_after=0.02), ["a", "b"])
        assert right(outcomes, ["a", "b"])
        assert (server.most, len(server.requests)) == (2, 2)
        outcomes, _ = asked(model(server.url, concurrency=8, hedge_after=0.02), ["a", "b"], purse)
    assert right(outcomes, ["a", "b"])
    assert len(server.requests) == 5
    purse.close()


def test_servers_that_name_different_models_end_the_run() -> None:
    other = Act(body={**completion("echo"), "model": "another"}, delay=0.02)
    with ChatServer(delay=0.02) as first, ChatServer(act=lambda *_: other) as second:
        expected = pytest.raises(ModelError, match=f"{second.url} answers as another")
        with expected as caught:
            asked(model(first.url, second.url, concurrency=1), [f"a {n}" for n in range(200)])
    assert f"{first.url} answers as x" in caught.value.problem
    assert first.attempts.total() + second.attempts.total() < 100
