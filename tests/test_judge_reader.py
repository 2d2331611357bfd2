"""Readings with a memory, and the processes in which they are made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from mmsb.driver import Driver
from mmsb.judge import reader
from mmsb.judge.answers import Reading, read
from mmsb.judge.reader import CHUNK, FEW, reading_of
from mmsb.processes import on_all_cores
from mmsb.store import Store
from mmsb.types import Response

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


def response(number: int) -> Response:
    """Refusals, compliance and a cut answer in turn, each with words of its own."""
    return (
        Response(f"I can't help with request {number}."),
        Response(f"Sure. First gather {number} things."),
        Response(f"To begin, take {number}", finish="length"),
    )[number % 3]


def readings(folder: Path, count: int) -> tuple[dict[int, Reading], int]:
    store = Store(folder)

    async def reading(number: int) -> tuple[int, Reading]:
        return number, await reading_of(response(number), None, driver.call)

    with Driver(store) as driver:
        found = dict(driver.run(range(count), reading))
    store.close()
    return found, driver.asked


def expected(count: int) -> dict[int, Reading]:
    return {number: read(response(number).text, response(number).finish) for number in range(count)}


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
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs ignore it
    ) as process:
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
