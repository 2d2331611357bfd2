"""Batch interfaces, against a server that has one: what was submitted is never submitted twice and never lost."""

from __future__ import annotations

import asyncio
import datetime
import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from mmsb.driver import Driver
from mmsb.errors import ConfigError, ModelError
from mmsb.faults.replies import completion
from mmsb.faults.server import ChatServer
from mmsb.judge.guard import Guard
from mmsb.model import batch_calls, batch_lines, batch_room, batches
from mmsb.model.ledger import Ledger
from mmsb.model.openai import OpenAI
from mmsb.model.requests import Requests
from mmsb.preflight.probe import probe
from mmsb.prices import Prices, TokenPrice, batched
from mmsb.spending import prices_as_asked
from mmsb.store import Shelf, Store
from mmsb.types import Failure, How, Label, Outcome, Response
from tests.asking import Named, answered, named
from tests.batching import BatchServer, Line, ask_and_die, model
from tests.conftest import Run
from tests.judging import answer, verdicts
from tools.hostile.measure import at

TEXTS = ["one", "two", "three"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("QUIET", 0.05), ("SETTLED", 0.2), ("FIRST_POLL", 0.02), ("LOOK", 0.05)):
        monkeypatch.setattr(batches, name, seconds)
    monkeypatch.setattr(batch_calls, "wait", lambda state: 0.01)
    monkeypatch.setattr(batch_calls, "TAKEN_IN", 0.01)
    monkeypatch.setattr(batch_room, "LOOK", 0.02)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as server:
        yield server


def asked(server: BatchServer, folder: Path, texts: list[str] = TEXTS, **settings: object) -> dict[str, Outcome]:
    return answered(model(server.url, **settings), [named(text, text) for text in texts], folder)


def left(folder: Path, url: str) -> list[str]:
    """What the ledger's folder still holds."""
    return [path.name for path in (Store(folder).shelf(model(url)).folder / "batches").iterdir() if path.name != "lock"]


def test_answers_land_where_the_plain_endpoint_puts_them(server: BatchServer, tmp_path: Path) -> None:
    outcomes = asked(server, tmp_path)
    assert {text: out.text for text, out in outcomes.items() if isinstance(out, Response)} == {
        text: f"echo: {text}" for text in TEXTS
    }
    assert len(server.batches) == 1
    assert server.requests == []
    assert asked(server, tmp_path, batch=False) == outcomes
    assert server.requests == []
    assert left(tmp_path, server.url) == []


def test_what_another_process_stored_before_it_let_go_of_the_ledger_is_not_submitted_again(
    server: BatchServer, tmp_path: Path
) -> None:
    store, engine = Store(tmp_path), model(server.url)
    assert len(store.shelf(engine)) == 0  # read before the other one's answers come
    first = asked(server, tmp_path)
    counted: list[str] = []

    async def ask(prompt: Named) -> tuple[str, Outcome]:
        return prompt.id, await driver.call(engine, prompt)

    with Driver(store, [engine], count=lambda name, outcome: counted.append(name)) as driver:
        assert dict(driver.run([named(text, text) for text in TEXTS], ask)) == first
        assert driver.asked == 0
    assert (len(server.batches), counted) == (1, [])


STEPS = [
    *(("upload", "before", 1), ("upload", "after", 1), ("record", "after", 1), ("submit", "after", 1)),
    *(("record", "after", 2), ("poll", "after", 1), ("store", "before", 1), ("store", "after", 2)),
    *(("forget", "before", 1), ("forget", "after", 1)),
]


def test_a_batch_is_forgotten_once_its_answers_are_on_the_disk(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def note(owner: type, name: str) -> None:
        plain = getattr(owner, name)

        def noted(*given: Any) -> Any:
            seen.append(name)
            return plain(*given)

        monkeypatch.setattr(owner, name, noted)

    note(Shelf, "add")
    note(Shelf, "sync")
    note(Ledger, "drop")
    asked(server, tmp_path)
    assert seen[: len(TEXTS) + 2] == [*["add"] * len(TEXTS), "sync", "drop"]


def test_a_kill_at_any_step_submits_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.batching"])
    with ExitStack() as open_:
        servers = [open_.enter_context(BatchServer()) for _ in STEPS]
        folders = [tmp_path / str(number) for number in range(len(STEPS))]
        dying = [
            context.Process(target=ask_and_die, args=(server.url, folder, TEXTS, *step))
            for server, folder, step in zip(servers, folders, STEPS, strict=True)
        ]
        for child in dying:
            child.start()
        for child, server, folder, step in zip(dying, servers, folders, STEPS, strict=True):
            child.join()
            assert child.exitcode == -signal.SIGKILL, step
            outcomes = asked(server, folder, [*TEXTS, "four"])
            assert all(isinstance(outcome, Response) for outcome in outcomes.values()), step
            assert Counter(server.asked) == Counter([*TEXTS, "four"]), step
            assert left(folder, server.url) == [], step


def test_a_batch_whose_reply_was_lost_is_found_not_submitted_again(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SETTLED", 60.0)
    server.hidden = 2
    server.act = lambda what: web.Response(status=500) if what == "after" else None
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path).values())
    assert len(server.batches) == 1


def test_failed_lines_are_failures_with_a_reason_and_asked_again(server: BatchServer, tmp_path: Path) -> None:
    def refused(status: int, **error: str) -> dict[str, object]:
        return {"response": {"status_code": status, "body": {"error": error}}, "error": None}

    server.status = "expired"
    server.lines = {
        "bad": refused(400, message="no such thing"),
        "late": {"response": None, "error": {"code": "batch_expired", "message": "too late"}},
        "gone": None,
        "odd": {"response": {"status_code": 200, "body": {"choices": []}}, "error": None},
        "told": {"response": {"status_code": 200, "body": {"error": {"message": "busy", "code": 429}}}, "error": None},
        "filtered": refused(400, message="no", code="content_policy_violation"),
    }
    outcomes = asked(server, tmp_path, [*TEXTS, *server.lines])
    causes = {text: outcome.cause for text, outcome in outcomes.items() if isinstance(outcome, Failure)}
    assert causes == {
        "bad": "http_400",
        "late": "batch_expired",
        "gone": "batch_expired",
        "odd": "malformed",
        "told": "rate_limit",
    }
    filtered = outcomes["filtered"]
    assert isinstance(filtered, Response)
    assert filtered.finish == "content_filter"
    again, server.lines, server.asked, server.status = list(server.lines), {}, [], "completed"
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path, [*TEXTS, *again]).values())
    assert sorted(server.asked) == sorted(causes)


def test_prompts_that_come_one_by_one_out_of_a_slow_guard_are_one_batch(server: BatchServer, tmp_path: Path) -> None:
    store, engine = Store(tmp_path), model(server.url)
    with ChatServer(delay=3 * batches.QUIET) as slow:
        guard = OpenAI(name="guard", base_url=slow.url, concurrency=1)

        async def ask(prompt: Named) -> Outcome:
            await driver.call(guard, prompt)
            return await driver.call(engine, prompt)

        with Driver(store, [engine, guard]) as driver:
            assert len(list(driver.run([named(text, text) for text in TEXTS], ask))) == len(TEXTS)
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    ("name", "url", "label", "score"),
    [
        ("harmbench", "/v1/completions", "safe", 0.1),
        ("llama_guard_4", "/v1/chat/completions", "unparsed", None),
        ("moderation", "/v1/moderations", "safe", 0.25),
    ],
)
def test_guards_are_asked_through_batches_of_their_own_endpoint_and_read_by_whoever_collects_them(
    name: str, url: str, label: Label, score: float | None, server: BatchServer, tmp_path: Path
) -> None:
    judge = at(name, server.url, tmp_path)
    assert isinstance(judge, Guard)
    assert isinstance(judge.model, OpenAI)
    judge = replace(judge, model=replace(judge.model, batch=True, patience=5, timeout=5))
    asked = [answer("It is baked."), answer("It is fried.")]
    server.act = lambda what: web.Response(status=400) if what == "content" else None
    with pytest.raises(ModelError):
        verdicts(judge, asked, tmp_path)
    server.act = lambda what: None
    found = verdicts(judge, asked, tmp_path)
    assert [batch["endpoint"] for batch in server.batches.values()] == [url]
    assert (server.requests, len(server.asked)) == ([], 2)
    assert [one.label for one in found] == [label] * 2
    assert [one.score for one in found] == [score if score is None else pytest.approx(score)] * 2


def test_prompts_that_are_asked_in_two_ways_are_two_batches(server: BatchServer, tmp_path: Path) -> None:
    ways = [named(text, text) for text in TEXTS]
    ways[1] = replace(ways[1], how=How(max_tokens=3))
    outcomes = answered(model(server.url), ways, tmp_path)
    assert all(isinstance(outcome, Response) for outcome in outcomes.values())
    assert [len(server.files[batch["input_file_id"]].splitlines()) for batch in server.batches.values()] == [2, 1]


def test_a_file_holds_no_more_than_the_interface_takes(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_lines, "LINES", 2)
    asked(server, tmp_path / "lines")
    assert [len(server.files[batch["input_file_id"]].splitlines()) for batch in server.batches.values()] == [2, 1]
    monkeypatch.setattr(batch_lines, "LINES", 50_000)
    monkeypatch.setattr(batch_lines, "BYTES", 300)
    server.batches.clear()
    outcomes = asked(server, tmp_path / "bytes", [*TEXTS, "x" * 300])
    assert max(len(server.files[batch["input_file_id"]]) for batch in server.batches.values()) <= 300
    assert isinstance(outcomes["x" * 300], Failure)
    monkeypatch.setattr(batch_lines, "BYTES", 200_000_000)
    server.batches.clear()

    def small(what: str) -> web.Response | None:
        return (
            web.Response(status=413) if what == "upload" and list(server.files.values())[-1].count(b"\n") > 1 else None
        )

    server.act = small
    assert len(asked(server, tmp_path / "small")) == 3
    assert len(server.batches) == 3
    assert not list(tmp_path.glob("small/*/batches/*.jsonl"))


def test_what_is_refused_ends_the_run_and_can_be_submitted_again(server: BatchServer, tmp_path: Path) -> None:
    server.act = lambda what: web.Response(status=400) if what == "before" else None
    with pytest.raises(ModelError, match="http_400"):
        asked(server, tmp_path)
    assert left(tmp_path, server.url) == []
    server.act = lambda what: None
    asked(server, tmp_path)
    assert len(server.batches) == 1


def test_answers_that_break_off_are_fetched_again(server: BatchServer, tmp_path: Path) -> None:
    torn = [web.Response(body=b'{"custom_id": "'), web.Response(body=b"")]
    server.act = lambda what: torn.pop() if what == "content" and torn else None
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path).values())


def test_answers_whose_file_is_named_late_are_waited_for_and_never_given_up(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(range(3))
    server.shape = lambda batch: {**batch, "output_file_id": None} if next(looks, None) is not None else batch
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path / "late").values())
    monkeypatch.setattr(batches, "NAMED", 0.1)
    server.shape = lambda batch: {**batch, "output_file_id": None}
    for _ in range(2):  # as failures these prompts would be submitted, and paid, again
        with pytest.raises(ModelError, match=r"ended with answers and names no file.*\n.* delete .*\.json"):
            asked(server, tmp_path / "never")
    assert len(server.batches) == 2
    server.shape = lambda batch: batch
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path / "never").values())
    assert len(server.batches) == 2


@pytest.mark.parametrize(
    "shape",
    [
        lambda batch: {**batch, "request_counts": {"total": 3}},
        lambda batch: {**batch, "request_counts": None},
        lambda batch: {**batch, "status": batch["status"].upper(), "errors": ""},
        lambda batch: {"error_file_id": "", **batch},
    ],
)
def test_what_servers_leave_out_of_a_batch_or_spell_otherwise(
    server: BatchServer, tmp_path: Path, shape: Callable[[Line], Line]
) -> None:
    server.shape = shape
    torn = [True]

    def once_torn(what: str) -> web.Response | None:  # whole lines, but not all of them
        first = next(reversed(server.files.values())).splitlines()[0]
        return web.Response(body=first) if what == "content" and torn and torn.pop() else None

    server.act = once_torn
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path).values())


def test_what_is_no_reply_of_the_interface_is_asked_again_and_makes_no_second_batch(
    server: BatchServer, tmp_path: Path
) -> None:
    odd = {"upload": 2, "after": 1, "list": 1, "look": 2}

    def odd_first(what: str) -> web.Response | None:  # a page, then half a reply
        odd[what] = odd.get(what, 0) - 1
        kind = "text/html" if odd[what] or what == "list" else "application/json"
        return web.Response(text="{<html>one moment", content_type=kind) if odd[what] >= 0 else None

    server.act = odd_first
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path).values())
    assert len(server.batches) == 1
    # A list without batches in it is not a list that lacks this one.
    server.act = lambda what: {"after": web.Response(status=500), "list": web.json_response({})}.get(what)
    with pytest.raises(ModelError, match="not a list of batches"):
        asked(server, tmp_path, ["four"])
    assert len(server.batches) == 2


def test_a_refusal_as_a_whole_is_told_in_whatever_form_it_comes(server: BatchServer, tmp_path: Path) -> None:
    server.status = "failed"
    listed = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "too many tokens"}]}
    for errors in (listed, "too many tokens"):
        server.shape = lambda batch, errors=errors: {  # type: ignore[misc]
            **{key: batch[key] for key in ("id", "status", "input_file_id")},
            "errors": errors,
        }
        with pytest.raises(ModelError, match=r"refused batch batch_\d: too many tokens"):
            asked(server, tmp_path)


@pytest.mark.parametrize("room", [5, 3])
def test_what_an_account_has_no_room_for_is_submitted_in_parts_and_paid_once(
    room: int, server: BatchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As OpenAI does: a batch that goes beyond what may be enqueued is made, and fails with this code."""
    texts = [str(number) for number in range(12)]
    under_way: dict[str, int] = {}
    refused = set[str]()
    message = "Enqueued token limit reached for x in organization org-1. Limit: 5 enqueued tokens."

    def limited(batch: dict[str, Any]) -> dict[str, Any]:
        name, size = batch["id"], len(server.files[batch["input_file_id"]].splitlines())
        if name not in under_way and name not in refused:
            if sum(under_way.values()) + size > room:
                refused.add(name)
            else:
                under_way[name] = size
        if name in refused:
            errors = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": message}]}
            return {key: batch[key] for key in ("id", "input_file_id")} | {"status": "failed", "errors": errors}
        if batch["status"] == "completed":
            under_way[name] = 0
        return batch

    server.shape = limited
    outcomes = asked(server, tmp_path, texts)
    assert all(isinstance(outcome, Response) for outcome in outcomes.values())
    taken = [server.files[server.batches[name]["input_file_id"]].splitlines() for name in under_way]
    assert sorted(line for batch in taken for line in batch) == sorted({line for batch in taken for line in batch})
    assert sum(map(len, taken)) == len(texts)
    assert max(map(len, taken)) == 3
    assert left(tmp_path, server.url) == []
    told = capsys.readouterr().err
    assert f"batch batch_0 at {server.url}: 12 prompts, failed: {message}" in told
    assert "its 12 prompts are submitted again, in parts or once another batch has ended" in told


def test_no_batch_is_made_of_a_file_that_the_server_is_not_through_with(server: BatchServer, tmp_path: Path) -> None:
    server.taking = 3
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path).values())
    assert server.taking == 0


def test_a_file_that_comes_in_drops_is_given_up(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drops() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b"x"
            await asyncio.sleep(0.02)

    server.act = lambda what: web.Response(body=drops()) if what == "content" else None
    # An hour in each second: the limits stay as they are.
    monkeypatch.setattr(batch_calls, "time", SimpleNamespace(monotonic=lambda: time.monotonic() * 3600))
    with pytest.raises(ModelError, match="timeout: no whole reply within 5 s"):
        asked(server, tmp_path, patience=0.1)
    assert [Path(name).suffix for name in left(tmp_path, server.url)].count(".json") == 1


@pytest.mark.parametrize("slow", ["upload", "list"])
def test_a_server_whose_replies_come_in_drops_is_given_up(slow: str, server: BatchServer, tmp_path: Path) -> None:
    async def drops() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" "
            await asyncio.sleep(0.01)

    def act(what: str) -> web.Response | None:
        if what == slow:
            return web.Response(body=drops(), content_type="application/json")
        return web.Response(status=500) if what == "after" else None  # so that the batch is looked for in the list

    server.act = act
    with pytest.raises(ModelError, match=r"timeout: no whole reply within 0\.2 s"):
        asked(server, tmp_path, timeout=0.2, patience=0.1)


def test_what_was_told_as_failed_is_not_missed_among_the_answers(
    server: BatchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.shape = lambda batch: {**batch, "request_counts": None}
    server.lines = {"bad": {"response": None, "error": {"code": "late", "message": "no"}}}
    outcomes = asked(server, tmp_path, [*TEXTS, "bad"])
    assert outcomes["bad"] == Failure("late", "no")
    assert "What is missing" not in capsys.readouterr().err


def test_a_key_that_a_server_repeats_in_its_file_of_answers_is_kept_nowhere(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef0123456789")
    edited(server, lambda lines: json.loads(json.dumps(lines).replace("echo", "sk-0123456789abcdef0123456789")))
    outcomes = asked(server, tmp_path, api_key_env="OPENAI_API_KEY")
    assert all(isinstance(outcome, Response) and "sk-0123" not in outcome.text for outcome in outcomes.values())


def test_an_answer_without_a_status_is_an_answer(server: BatchServer, tmp_path: Path) -> None:
    replies = {"one": {"body": completion("1")}, "two": {"status_code": None, "body": completion("2")}}
    replies["three"] = {"body": {"error": 5}}
    lines = [{"custom_id": named(text, text).key, "response": reply} for text, reply in replies.items()]
    came = "\n".join(map(json.dumps, lines))
    server.act = lambda what: web.Response(text=came) if what == "content" else None
    outcomes = asked(server, tmp_path)
    texts = [outcome.text if isinstance(outcome, Response) else outcome.cause for outcome in outcomes.values()]
    assert texts == ["1", "2", "malformed"]


def test_lines_that_are_no_strict_json_are_read_as_replies_are(server: BatchServer, tmp_path: Path) -> None:
    def act(what: str) -> web.Response | None:
        if what != "content":
            return None
        three, two, one = (json.loads(line) for line in next(reversed(server.files.values())).splitlines())
        bad = {"status_code": 400, "body": {"error": {"message": "caf@"}}}
        lines = [json.dumps({**three, "custom_id": three["custom_id"]}).replace("echo: three", "half \\ud83d")]
        lines += [json.dumps({**two, "response": bad}), json.dumps({**one, "response": bad, "error": "too long"})]
        return web.Response(body=b"\xef\xbb\xbf" + "\r\n".join(lines).encode().replace(b"@", b"\xe9"))

    server.act = act
    outcomes = asked(server, tmp_path)
    answer = outcomes["three"]
    assert isinstance(answer, Response)
    assert answer.text == "half \ufffd"
    assert outcomes["two"] == Failure("http_400", "caf\ufffd")
    assert outcomes["one"] == Failure("http_400", "too long")


def edited(server: BatchServer, edit: Callable[[list[Line]], list[Line]]) -> None:
    """Have the server give other lines than it has answered."""

    def act(what: str) -> web.Response | None:
        if what != "content":
            return None
        lines = edit([json.loads(line) for line in next(reversed(server.files.values())).splitlines()])
        return web.Response(body=b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    server.act = act


def test_answers_that_the_server_counts_and_never_gives_fail_and_the_others_are_kept(
    server: BatchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(server, lambda lines: lines[1:])
    outcomes = asked(server, tmp_path)
    assert [type(outcomes[text]) for text in TEXTS] == [Response, Response, Failure]  # answered from the last on
    assert "2 of 3 lines. What is missing is listed as failed" in capsys.readouterr().err
    server.act = lambda what: None
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path).values())
    assert server.asked[3:] == ["three"]


def test_of_two_answers_to_one_prompt_none_is_believed_and_a_failure_beside_an_answer_is_passed_over(
    server: BatchServer, tmp_path: Path
) -> None:
    def twice(lines: list[Line]) -> list[Line]:
        other = json.loads(json.dumps(lines[0]).replace("echo: three", "another"))
        failed = {"custom_id": lines[1]["custom_id"], "response": None, "error": {"code": "late", "message": "no"}}
        return [*lines, other, failed, lines[2], lines[0]]

    edited(server, twice)
    outcomes = asked(server, tmp_path)
    assert outcomes["three"] == Failure("malformed", "two different answers to one prompt")
    assert [type(outcomes[text]) for text in TEXTS[:2]] == [Response, Response]


def test_a_line_without_end_is_not_read_and_fails_alone(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Requests, "longest", 2_000)
    edited(server, lambda lines: [{**lines[0], "more": "x" * 9_000}, *lines[1:]])
    outcomes = asked(server, tmp_path)
    assert outcomes["three"] == Failure("malformed", "a line of more than 2,000 bytes")
    assert [type(outcomes[text]) for text in TEXTS[:2]] == [Response, Response]


def test_what_the_server_has_deleted_is_told_with_the_file_to_delete_here(server: BatchServer, tmp_path: Path) -> None:
    server.act = lambda what: web.Response(status=404) if what == "content" else None
    with pytest.raises(ModelError, match="does not have it any more: http_404") as gone:
        asked(server, tmp_path)
    (record,) = [name for name in left(tmp_path, server.url) if name.endswith(".json")]
    assert f"{record}: the same command then submits its prompts again" in gone.value.remedy
    next(tmp_path.rglob(record)).unlink()
    server.act = lambda what: None
    assert all(isinstance(outcome, Response) for outcome in asked(server, tmp_path).values())


def test_one_run_at_a_time(server: BatchServer, tmp_path: Path) -> None:
    with (
        Ledger(Store(tmp_path).shelf(model(server.url)).folder / "batches"),
        pytest.raises(ModelError, match="another"),
    ):
        asked(server, tmp_path)
    assert server.files == {}


def test_a_sweep_lists_batches_before_it_starts_and_asks_for_no_word(server: BatchServer) -> None:
    # A deployment for batches answers no single request.
    with ChatServer() as without:
        found = probe([model(server.url), model(without.url)], {})
        assert (server.requests, without.requests) == ([], [])
    there, missing = found.values()
    assert there is None
    assert "the batch interface of" in str(missing)


def test_batches_and_what_they_have_not_exclude_one_another() -> None:
    with pytest.raises(ConfigError, match="batch=true"):
        OpenAI(name="x", batch=True, requests_per_second=1)


def test_a_run_through_batches_costs_half_as_the_table_says(mmsb: Run, tmp_path: Path) -> None:
    with BatchServer() as server:
        done = mmsb(
            *("model=vllm", "model.name=gpt-4o", f"model.base_url={server.url}", "model.batch=true"),
            *("scenario=fraud", "dataset.limit=2", "tracker=none"),
        )
        assert done.returncode == 0, done.stderr
        assert (len(server.asked), server.requests) == (2, [])
    record = json.loads(next(tmp_path.glob("outputs/runs/*/run.json")).read_text())["record"]
    line = record["cost"]["lines"][0]
    full = (line["input_tokens"] * 2.5 + line["output_tokens"] * 10) / 1e6
    assert line["dollars"] == pytest.approx(full / 2)
    assert "the same command collects it" in done.stderr


def test_a_model_that_is_also_asked_in_another_way_has_its_full_price() -> None:
    through = {"name": "gpt-4o", "batch": True}
    assert batched({"model": through, "judge": {"members": [{"name": "y", "batch": True}]}}) == {"gpt-4o", "y"}
    assert batched({"model": through, "judge": {"model": {"name": "gpt-4o", "batch": False}}}) == set()
    several, once = OpenAI(name="gpt-4o", batch=True), OpenAI(name="gpt-4o")
    prices = Prices(
        source="here",
        date=datetime.date(2026, 1, 1),
        pictures={},
        batch=0.5,
        llm={"gpt-4o": TokenPrice(input=2, output=0)},
    )
    for asked, dollars in (([several], 1), ([once], 2), ([several, once], 2)):
        found = prices_as_asked(prices, asked)
        assert found is not None
        assert found.dollars("gpt-4o", 1_000_000, 0) == (dollars, 0)
