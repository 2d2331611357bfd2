"""What a run costs: every stage is counted, the preparations too, and nothing without a price counts as free."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mmsb.cost import Costs, a_sample, price, total
from mmsb.flow import Call
from mmsb.prices import Prices, TokenPrice, duration
from mmsb.terminal import cost as told
from mmsb.types import Failure, Outcome, Prompt, Response
from tests.conftest import Run
from tests.endpoint import ChatServer, Messages, text_of

PRICES = Prices(date=date(2026, 1, 2), source="a test", llm={"dear": TokenPrice(input=2.0, output=10.0)}, pictures={})


def call(stage: str, role: str | None, engine: str, outcome: Outcome, counted: bool = True) -> Call:
    return Call(stage, role, engine, Prompt("q"), outcome, 0.0, 1.0, counted)


def test_calls_are_summed_by_stage_role_and_model() -> None:
    costs = Costs()
    costs.add([call("answer", f"vote {n}", "dear", Response("a", input_tokens=n, output_tokens=2)) for n in (1, 2)])
    costs.add(
        [call("judge", None, "cheap", Response("a", seconds=0.5)), call("answer", None, "dear", Failure("x", "y"))]
    )
    costs.add([call("answer", None, "rules", Response("a"), counted=False)])
    record = costs.record(PRICES)
    lines = {(line["stage"], line["role"], line["model"]): line for line in record["lines"]}
    assert set(lines) == {("answer", "vote", "dear"), ("judge", "judge", "cheap"), ("answer", "answer", "dear")}
    votes = lines["answer", "vote", "dear"]
    assert (votes["calls"], votes["input_tokens"], votes["output_tokens"]) == (2, 3, 4)
    assert votes["dollars"] == pytest.approx((3 * 2.0 + 4 * 10.0) / 1e6)
    assert lines["answer", "answer", "dear"]["failed"] == 1
    assert (record["unpriced"], record["prices"]) == (["cheap"], "2026-01-02")
    assert total(record, "judge")["dollars"] is None
    assert total(record, "answer")["dollars"] == votes["dollars"]
    whole, answers = price(record), price(record, "answer")
    assert (whole["calls"], whole["failed"], price(record, "judge")["seconds"]) == (4, 1, 0.5)
    assert whole["dollars"] is None
    assert (answers["calls"], answers["dollars"]) == (3, votes["dollars"])


def test_what_failed_was_asked_and_its_price_is_not_known() -> None:
    costs = Costs()
    costs.add([call("answer", None, "dear", Failure("x", "y"))] * 6)
    record = {"dataset": {"samples": 3}, "cost": costs.record(PRICES)}
    assert a_sample(record) == {
        **dict.fromkeys(("input_tokens", "output_tokens", "seconds", "dollars")),
        "calls": 2,
        "failed": 2,
    }


def test_a_run_with_failures_does_not_look_cheap() -> None:
    costs = Costs()
    answer = Response("a", input_tokens=10, output_tokens=8, seconds=2.0)
    costs.add([call("answer", None, "dear", reply) for reply in [answer] * 3 + [Failure("x", "y")] * 9])
    record = {"dataset": {"samples": 12}, "totals": {}, "cost": costs.record(PRICES)}
    assert told(record) == "a sample took 1 call, 10 + 8 tokens, 2 s"
    assert total(record["cost"])["input_tokens"] == 30  # what was paid for is the bill's business
    costs.add([call("prepare", None, "dear", Failure("x", "y"))])
    assert a_sample(record | {"cost": costs.record(PRICES)})["dollars"] is None


def test_a_priced_model_that_counts_no_tokens_is_not_free() -> None:
    costs = Costs()
    costs.add([call("answer", None, "dear", Response("a"))])
    assert costs.record(PRICES)["unpriced"] == ["dear"]


def test_tokens_of_a_part_are_not_told_as_those_of_the_whole() -> None:
    costs = Costs()
    costs.add([call("prepare", "attempt", "dear", Response("a", input_tokens=8, output_tokens=2, seconds=1.0))])
    costs.add([call("answer", None, "dear", Response("a", input_tokens=4, output_tokens=2, seconds=1.0))])
    totals = {"calls": 1, "input_tokens": 4, "output_tokens": 2, "seconds": 1.0}
    record = {"dataset": {"samples": 1}, "cost": costs.record(PRICES), "totals": totals}
    assert told(record) == "a sample took 2 calls, 12 + 4 tokens, 2 s"  # with what was learnt before
    costs.add([call("answer", None, "dear", Response("a", seconds=1.0))])
    record["cost"] = costs.record(PRICES)
    assert told(record) == "a sample took 3 calls, an unknown number of tokens, 3 s"
    assert a_sample(record)["input_tokens"] is None


def test_a_run_records_what_each_stage_cost_as_the_server_saw_it(mmsb: Run, tmp_path: Path) -> None:
    def reply(messages: Messages) -> str:
        text = text_of(messages)
        return "none" if text.startswith("Write out") else "1. Take it. 2. Go on with it."

    with ChatServer(reply) as server:
        command = (
            *("defense=adashield_adaptive", "model=vllm", "model.name=gpt-4o", f"model.base_url={server.url}"),
            *("scenario=fraud", "dataset.limit=2", "tracker=none", "defense.adashield_adaptive.rounds=1"),
        )
        done = mmsb(*command)
        assert done.returncode == 0, done.stderr
        asked = len(server.requests)
        texts = Counter(text_of(request["messages"]).split()[0] for request in server.requests)
        assert mmsb(*command).returncode == 0
        assert len(server.requests) == asked
    paths = sorted(tmp_path.glob("outputs/runs/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    first, again = (json.loads(path.read_text())["record"] for path in paths)
    cost: dict[str, Any] = first["cost"]
    calls = {(line["stage"], line["role"]): line["calls"] for line in cost["lines"]}
    assert calls == {
        ("prepare", "attempt"): 6,
        ("prepare", "rewrite"): texts["This"],
        ("answer", "transcript"): 2,
        ("answer", "answer"): 2,
    }
    listed = [json.loads(line) for line in (paths[0].parent / "calls.jsonl").read_text().splitlines()]
    assert Counter(call["stage"] for call in listed if call["counted"]) == {"prepare": 6 + texts["This"], "answer": 4}
    assert {call["sample"] for call in listed if call["stage"] == "prepare"} == {"defense.adashield_adaptive"}
    spent = total(cost)
    assert spent["calls"] == 16
    assert spent["dollars"] is not None
    assert spent["dollars"] == pytest.approx((spent["input_tokens"] * 2.5 + spent["output_tokens"] * 10) / 1e6)  # type: ignore[operator]
    assert again["cost"] == cost  # the price of the whole, though nothing was asked again
    assert again["asked"] == 0


def test_a_price_is_for_a_million_tokens_and_a_batch_has_its_share() -> None:
    table = Prices(date=date(2026, 1, 1), source="", llm={"m": TokenPrice(input=3, output=5)}, pictures={})
    assert table.dollars("m", 1_000_000, 2_000_000) == (3, 10)
    assert table.dollars("another", 1, 1) is table.dollars("m", None, 1) is table.dollars("m", 1, None) is None
    assert table.through_batches({"m"}).dollars("m", 1_000_000, 0) == (3, 0)
    assert replace(table, batch=0.5).through_batches({"m"}).dollars("m", 1_000_000, 1_000_000) == (1.5, 2.5)
    assert [duration(seconds) for seconds in (40, 600, 12_600)] == ["40 s", "10 min", "3.5 h"]
