"""Readings with a memory, and the processes in which they are made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from mmsb.judge import reader
from mmsb.judge.answers import Reading, read
from mmsb.judge.reader import CHUNK, FEW, with_readings
from mmsb.model.base import Reply
from mmsb.processes import on_all_cores
from mmsb.store import Store
from mmsb.types import Failure, Prompt, Response

MANY = FEW + 3 * CHUNK + 5
SLEEPING = """
import os, time
from mmsb.processes import on_all_cores
def work(number):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece
    time.sleep(0.2)
if __name__ == "__main__":
    list(on_all_cores(work, range(64), 2))
"""


def reply(number: int) -> Reply:
    """Refusals, compliance, a cut answer, a failure and a filtered answer in turn, each with words of its own."""
    prompt = Prompt(f"p{number}", "Say it.")
    outcomes = (
        Response(f"I can't help with request {number}."),
        Response(f"Sure. First gather {number} things."),
        Response(f"To begin, take {number}", finish="length"),
        Failure("timeout", "60 s"),
        Response("", finish="content_filter"),
    )
    return prompt, outcomes[number % len(outcomes)]


def readings(folder: Path, count: int) -> tuple[dict[str, Reading | None], int]:
    store = Store(folder)
    found = {prompt.id: reading for prompt, _, reading in with_readings(map(reply, range(count)), store)}
    store.close()
    return found, store.asked


def expected(count: int) -> dict[str, Reading | None]:
    return {
        prompt.id: read(outcome.text, outcome.finish) if isinstance(outcome, Response) and outcome.text else None
        for prompt, outcome in map(reply, range(count))
    }


@pytest.mark.parametrize("count", [3, MANY])
def test_every_answer_is_read_as_it_is_alone(tmp_path: Path, count: int) -> None:
    assert readings(tmp_path, count) == (expected(count), 0)  # and no model was asked


def test_what_was_read_once_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings(tmp_path, FEW)
    monkeypatch.setattr(reader, "read", lambda *_: pytest.fail("read again"))
    assert readings(tmp_path, FEW) == (expected(FEW), 0)


def test_all_cores_give_results_in_order() -> None:
    assert list(on_all_cores(abs, range(-50, 0), 2)) == list(range(50, 0, -1))


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_began_them_and_say_nothing(tmp_path: Path, kind: signal.Signals) -> None:
    script = tmp_path / "sleeping.py"
    script.write_text(SLEEPING)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        children = {int(process.stdout.readline()) for _ in range(4)}
        for one in [process.pid, *children] if kind == signal.SIGINT else [process.pid]:  # Ctrl-C reaches all of them
            os.kill(one, kind)
        _, left = psutil.wait_procs([psutil.Process(child) for child in children if psutil.pid_exists(child)], 20)
        for child in left:
            child.kill()
        said = process.stderr.read()
    assert not left
    assert said.count("Traceback") == (kind == signal.SIGINT)
