"""Whole evaluations through an endpoint: killed, interrupted, with a key in the environment, with nobody there."""

from __future__ import annotations

import base64
import os
import signal
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

from mmsb.secret import TOLD, forms
from tests.conftest import Run
from tests.endpoint import HANG, Act, ChatServer, completion, error
from tests.forks import Fork

CANARY = "sk-canary-0123456789abcdefghij"
DEAD = "http://127.0.0.1:9/v1"

SLOW_MODEL = """
import time
from mmsb.config import settings
from mmsb.model.hf import HF


@settings
class Slow(HF):
    def load(self):
        return None

    def inputs(self, loaded, batch):
        return None

    def run(self, loaded, inputs, seed):
        print("in the batch", flush=True)
        while True:
            pass
"""


def arguments(server: ChatServer, outputs: Path, tracker: str = "none") -> list[str]:
    """A small evaluation through the endpoint."""
    model = [
        "model=openai",
        "model.name=x",
        f"model.base_url={server.url}",
        "model.concurrency=8",
        "model.repeats=2",
        "model.temperature=1",
    ]
    return [*model, "judge=refusal", f"tracker={tracker}", f"output_dir={outputs}"]


def command(server: ChatServer, outputs: Path) -> list[str]:
    """The same, as a process."""
    return ["-m", "mmsb", *arguments(server, outputs)]


def test_a_run_that_is_killed_twice_ends_with_the_same_bytes(mmsb: Run, mmsb_process: Run, tmp_path: Path) -> None:
    with ChatServer(delay=0.05) as server:
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        done = mmsb_process(*arguments(server, whole), PYTHONHASHSEED="1")  # forks share the seed of this process
        assert done.returncode == 0, done.stderr
        total = len(server.requests)
        for _ in range(2):
            until = len(server.requests) + total // 3
            with Fork(command(server, killed)) as process:
                while len(server.requests) < until:
                    assert process.poll() is None, process.err
                    time.sleep(0.01)
                process.kill()
        assert mmsb(*arguments(server, killed)).returncode == 0
    (expected,) = whole.glob("runs/*/results.jsonl")
    (found,) = killed.glob("runs/*/results.jsonl")
    assert total == 208
    assert found.read_bytes() == expected.read_bytes()
    assert len(server.requests) <= 2 * total + 2 * 3 * (8 + 16)


def test_ctrl_c_ends_a_run_at_once_and_without_a_trace(tmp_path: Path) -> None:
    with ChatServer(act=lambda *_: HANG) as server, Fork(command(server, tmp_path)) as process:
        while len(server.requests) < 8:
            assert process.poll() is None, process.err
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "the same command goes on" in process.err
    assert "Traceback" not in process.err


def test_ctrl_c_ends_a_run_in_the_middle_of_a_local_batch(tmp_path: Path) -> None:
    own = tmp_path / "slow_models.py"
    own.write_text(SLOW_MODEL, encoding="utf-8")
    settings = ["model._target_=slow_models.Slow", "trusted_packages=[slow_models]", f"output_dir={tmp_path}/outputs"]
    command = ["-m", "mmsb", "model=tiny", "tracker=none", "image_mode=text_only", *settings]
    with Fork(command, tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path)}) as process:
        while "in the batch\n" not in process.out:
            assert process.poll() is None, process.err
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130  # the batch takes for ever
    assert "the same command goes on" in process.err
    assert "Traceback" not in process.err


def test_a_key_in_the_environment_is_in_no_file_of_a_run(mmsb: Run, tmp_path: Path) -> None:
    def act(text: str, attempt: int) -> Act | None:
        kind = len(text) % 4 if attempt == 1 else 3
        packed = base64.b64encode(f"user:{CANARY}".encode()).decode()
        return [
            error(400, f"your key is {CANARY[:-4]}, {packed}"),
            Act(body=completion(f"You asked with Bearer {CANARY}.")),
            Act(body=f"<html>{packed} {CANARY}</html>".encode()),
            None,
        ][kind]

    with ChatServer(act=act) as server:
        done = mmsb(*arguments(server, tmp_path / "outputs"), OPENAI_API_KEY=CANARY)
    assert "samples failed" in done.stderr
    assert server.headers[0]["Authorization"] == f"Bearer {CANARY}"
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) > 4
    parts = [form[i : i + TOLD].encode() for form in forms(CANARY) for i in range(len(form) - TOLD + 1)]
    assert not [path for path, content in files.items() if any(part in content for part in parts)]
    assert not [part for part in parts if part.decode() in done.stdout + done.stderr]
    assert any(b"Bearer [key]." in content for content in files.values())


def test_what_is_written_is_its_users_alone(mmsb: Run, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    before = os.umask(0o022)
    try:
        with ChatServer() as server:
            done = mmsb(*arguments(server, outputs, tracker="mlflow"), "scenario=fraud", "dataset.limit=2")
        assert done.returncode == 0, done.stderr
        assert os.umask(0o022) == 0o022
        with closing(sqlite3.connect(outputs / "mlflow.db")) as store:  # as a page that is open meanwhile does
            store.execute("BEGIN IMMEDIATE")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (outputs, *outputs.rglob("*"))}
    finally:
        os.umask(before)
    assert {outputs / f"mlflow.db{end}" for end in ("", "-wal", "-shm")} < set(modes)
    assert set(modes.values()) == {0o600, 0o700}, modes
    assert not [path for path, mode in modes.items() if (mode == 0o700) is not path.is_dir()]


def test_a_dead_endpoint_is_one_error_on_the_terminal(mmsb: Run) -> None:
    done = mmsb("model=vllm", "model.name=some/model", f"model.base_url={DEAD}", "judge=refusal", "tracker=none")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error", "  try"))]
    assert lines == [
        f"error: nothing answers at base_url={DEAD} (Connection refused)",
        "  try: Start the server, e.g. vllm serve some/model (serve=true does it), or set base_url.",
    ]


def test_a_key_that_is_refused_leaves_no_folder_unless_there_are_answers(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer(act=lambda *_: error(401, "wrong key")) as refusing, ChatServer() as server:
        single = arguments(refusing, tmp_path / "outputs")
        assert f"{refusing.url} refuses x (HTTP 401: wrong key)" in mmsb(*single).stderr
        assert not list((tmp_path / "outputs" / "runs").glob("*"))
        mmsb(*single, f"hydra.run.dir={tmp_path}/mine")
        assert (tmp_path / "mine" / "error.txt").is_file()  # what somebody named is theirs
        mmsb("run=nowhere", module="mmsb.export")  # a command that makes no run
        assert not (tmp_path / "outputs" / "error.txt").exists()
        judge = [
            "judge=rubric",
            "model@judge.model=openai",
            "judge.model.name=g",
            f"judge.model.base_url={refusing.url}",
        ]
        done = mmsb(*arguments(server, tmp_path / "outputs"), *judge)
    assert f"judge rubric:g: {refusing.url} refuses g (HTTP 401: wrong key)" in done.stderr
    assert "What the model answered is stored and is not asked again" in done.stderr
    (kept,) = (tmp_path / "outputs" / "runs").glob("*")
    assert (kept / "bill.json").is_file()
    assert len(server.requests) < 64


def test_a_judge_that_fails_is_told_with_its_reason_in_a_run_and_when_judging_again(mmsb: Run, tmp_path: Path) -> None:
    def act(text: str, attempt: int) -> Act | None:
        refused = "logprobs" in server.requests[-1]
        return error(400, "logprobs are not supported by this model") if refused else None

    with ChatServer(lambda messages: "Yes, like this.", act=act) as server:
        guard = [f"judge.model.base_url={server.url}", "model@judge.model=openai", "judge.model.name=g"]
        panel = ["judge=panel", "judge@judge.members.second=llama_guard_4", "model@judge.members.second.model=openai"]
        panel += ["judge.members.second.model.name=g", f"judge.members.second.model.base_url={server.url}"]
        small = ["scenario=fraud", "dataset.limit=2", "model=openai", "model.name=x", f"model.base_url={server.url}"]
        found = [
            mmsb(*small, "tracker=none", "judge=llama_guard_4", *guard),
            mmsb(*small, "tracker=none", *panel),
        ]
        run = next(path for path in sorted((tmp_path / "outputs/runs").iterdir()) if path.is_dir())
        found += [mmsb(f"run={run}", "judge=llama_guard_4", "tracker=none", *guard, module="mmsb.judge")]
        silent = mmsb(
            f"run={run}",
            "judge=llama_guard_4",
            "judge.probabilities=false",
            "tracker=none",
            *guard,
            module="mmsb.judge",
        )
    for one in found:
        assert one.returncode == 1
        assert "2 of 2 answers have no verdict, e.g. " in one.stderr
        assert "logprobs are not supported by this model" in one.stderr
        assert "judge.probabilities=false asks for no logprobs." in one.stderr
    assert (silent.returncode, "have no verdict" in silent.stderr) == (0, False)
