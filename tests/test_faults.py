"""Whatever an endpoint does, each sample is accounted for once: answered, filtered, or failed with its reason."""

from __future__ import annotations

import collections
import re
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from mmsb.faults.catalogue import catalogue
from mmsb.faults.certificate import self_signed
from mmsb.faults.fault import KINDS, Fault
from mmsb.faults.server import ChatServer
from mmsb.faults.serving import Faults, Plan
from tests.conftest import ROOT, Run
from tests.forks import Fork

IN_THE_WAY = ("rate_limit", "server_error", "time", "connection", "refused", "redirect")
IN_THE_REPLY = ("malformed", "text")
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
OUTCOMES = {"again": "answered", "read": "answered", "failed": "failed", "filtered": "filtered"}


def arguments(server: ChatServer, folder: Path) -> list[str]:
    model = ["model=openai", "model.name=x", f"model.base_url={server.url}", "model.timeout=2", "model.patience=60"]
    return [*model, "image_mode=text_only", "judge=refusal", "tracker=none", f"output_dir={folder}"]


def rows_of(folder: Path) -> list[dict[str, object]]:
    (path,) = folder.glob("runs/*/results.jsonl")
    return [orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kinds", [IN_THE_WAY, IN_THE_REPLY], ids=["in the way", "in the reply"])
def test_every_sample_is_accounted_for_once_whatever_the_endpoint_does(
    kinds: tuple[str, ...], mmsb: Run, tmp_path: Path
) -> None:
    faults = Faults(faults=kinds, share=0.99, port=0)
    plan = faults.plan()
    with faults.server(plan) as server:
        done = mmsb(*arguments(server, tmp_path))
    rows = rows_of(tmp_path)
    assert len(rows) == len({row["id"] for row in rows}) == 104
    assert set(plan.met) == {fault.name for fault in plan.faults}
    by_text = {prompt.partition(" ")[2]: (prompt.partition(" ")[0], fault) for prompt, fault in plan.of.items()}
    wrong = [line for row in rows for line in misread(row, *by_text[str(row["prompt"])], plan)]
    assert wrong == []
    assert "Traceback" not in done.stderr
    assert not RAW.search(done.stdout + done.stderr)


def misread(row: dict[str, object], prompt: str, fault: Fault | None, plan: Plan) -> list[str]:
    """What of a row is not as the server's own record has it."""
    name, expected = (fault.name, OUTCOMES[fault.ends]) if fault else ("none", "answered")
    found = []
    if row["outcome"] != expected:
        found.append(f"{name}: {row['outcome']}, not {expected}: {row.get('cause')}: {row.get('message')}")
    elif expected == "answered" and name not in ("no_text", "blank_text"):
        said, echo = str(row["response"]), f"echo: {row['prompt']}"
        if not (said.endswith(echo) or said.startswith(echo)) or (len(said) > len(echo) + 60 and name != "long"):
            found.append(f"{name}: the answer is {said[:80]!r}")
    if expected == "answered" and plan.answers[prompt] != 1:
        found.append(f"{name}: {plan.answers[prompt]} whole answers were sent for one")
    if expected == "failed" and (row["label"] != "failed" or not row.get("message")):
        found.append(f"{name}: {row['label']}, {row.get('message')!r}")
    return found


@pytest.mark.parametrize("fault", [fault.name for fault in catalogue().values() if fault.ends == "stops"])
def test_what_every_request_would_meet_stops_the_run_and_the_same_command_asks_only_the_rest(
    fault: str, mmsb: Run, tmp_path: Path
) -> None:
    faults = Faults(faults=(fault,), share=0.02, port=0)  # the fiftieth prompt
    plan = faults.plan()
    with faults.server(plan) as server:
        done = mmsb(*arguments(server, tmp_path), "model.concurrency=1")
        stopped = [line for line in done.stderr.splitlines() if line.startswith(("error", "  try"))]
    assert done.returncode == 1
    assert [line.partition(":")[0].strip() for line in stopped] == ["error", "try"]
    assert len(plan.log) == 50
    again = ChatServer(port=int(server.url.split(":")[2].partition("/")[0]))
    with again:
        assert mmsb(*arguments(again, tmp_path)).returncode == 0
    assert len(again.requests) == 104 - 49


def test_a_certificate_that_nobody_knows_is_refused_with_its_reason(
    mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with ExitStack() as stack:
        faults = Faults(port=0, tls=True)
        server = stack.enter_context(faults.server(faults.plan(), self_signed(stack)))
        done = mmsb(*arguments(server, tmp_path))
    assert done.returncode == 1
    problem, remedy = done.stderr.splitlines()[-2:]
    assert problem == f"error: no safe connection to base_url={server.url} (self-signed certificate)"
    assert "SSL_CERT_FILE" in remedy
    assert server.requests == []


def test_a_limiter_that_bans_loses_no_sample_and_sells_none_twice(mmsb: Run, tmp_path: Path) -> None:
    faults = Faults(faults=("slow",), share=0.01, port=0, requests_per_second=30, ban_seconds=0.3)
    plan = faults.plan()
    with faults.server(plan) as server:
        mmsb(*arguments(server, tmp_path), "model.concurrency=4", "model.patience=20")
    outcomes = collections.Counter((row["outcome"], row.get("cause")) for row in rows_of(tmp_path))
    assert sum(outcomes.values()) == 104
    assert set(outcomes) <= {("answered", None), ("failed", "rate_limit")}
    assert set(plan.answers.values()) == {1}
    assert len(plan.answers) == outcomes["answered", None]
    assert any(line["fault"] == "limit" for line in plan.log)


def test_the_command_serves_until_it_is_ended_and_keeps_its_record(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    command = ["-m", "mmsb.faults", "port=0", "faults=[rate_limit_seconds]", f"record={record}"]
    with Fork(command, tmp_path) as process:
        while "\n" not in process.out:
            assert process.poll() is None, process.err
            time.sleep(0.01)
        url = process.out.partition(": ")[0]
        request: dict[str, Any] = {"model": "x", "messages": [{"role": "user", "content": "hello"}]}
        for status in (200, 200, 200, 429):  # three of ten meet a fault: here the fourth
            request["messages"][0]["content"] += "!"
            found = requests.post(f"{url}/chat/completions", json=request, timeout=20)
            assert found.status_code == status
        assert found.headers["retry-after"] == "1"
        process.send_signal(signal.SIGTERM)  # as Ctrl-C
        assert process.wait(60) == 0
    assert "4 requests for 4 prompts; 1 of 1 faults were met" in process.out
    kept = [orjson.loads(line) for line in record.read_bytes().splitlines()]
    assert [line["fault"] for line in kept] == [None, None, None, "rate_limit_seconds"]


def test_a_fault_that_is_none_is_named_with_what_is_near(mmsb: Run) -> None:
    done = mmsb("faults=[rate_limits]", "port=0", module="mmsb.faults")
    assert done.returncode == 1
    assert "faults=rate_limits is not a fault" in done.stderr
    assert "rate_limit" in done.stderr.splitlines()[1]


def test_the_page_lists_every_fault() -> None:
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert listed == [fault.name for fault in catalogue().values() if not fault.name.startswith("wrong_")]
    assert set(KINDS) == {fault.kind for fault in catalogue().values()}
