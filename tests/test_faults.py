"""Whatever an endpoint does, each sample is accounted for once: answered, filtered, or failed with its reason."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from mmsb.faults.fault import Fault
from mmsb.faults.server import ChatServer
from mmsb.faults.serving import Faults, Plan
from tests.conftest import Run

IN_THE_WAY = ("rate_limit", "server_error", "time", "connection", "refused", "redirect")
IN_THE_REPLY = ("malformed", "text")
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
OUTCOMES = {"again": "answered", "read": "answered", "failed": "failed", "filtered": "filtered"}


def arguments(server: ChatServer, folder: Path) -> list[str]:
    model = ["model=openai", "model.name=x", f"model.base_url={server.url}", "model.timeout=2", "model.patience=12"]
    return [*model, "image_mode=text_only", "judge=refusal", "tracker=none", f"output_dir={folder}"]


def rows_of(folder: Path) -> list[dict[str, object]]:
    (path,) = folder.glob("runs/*/results.jsonl")
    return [orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


@pytest.mark.parametrize("kinds", [IN_THE_WAY, IN_THE_REPLY], ids=["in the way", "in the reply"])
def test_every_sample_is_accounted_for_once_whatever_the_endpoint_does(
    kinds: tuple[str, ...], mmsb: Run, tmp_path: Path
) -> None:
    faults = Faults(faults=kinds, share=0.99, port=0)
    plan = faults.plan()
    with faults.server(plan) as server:
        done = mmsb(*arguments(server, tmp_path))
    assert "samples failed" in done.stderr or "in the reply" in done.stderr or done.returncode == 0, done.stderr
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
