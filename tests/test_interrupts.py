"""Ctrl-C on a real terminal: once a command ends cleanly, twice it ends now."""

from __future__ import annotations

import os
import pty
import signal
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mmsb.interrupts import Listener, terminated_as_interrupted, twice_ends_now
from tests.endpoint import HANG, ChatServer
from tests.forks import Fork
from tests.test_endpoint_run import SLOW_MODEL

STUBBORN = """
import time
from contextlib import asynccontextmanager
from mmsb.config import settings
from mmsb.model.openai import OpenAI


@settings
class Stubborn(OpenAI):
    @asynccontextmanager
    async def session(self, endpoints):
        try:
            async with super().session(endpoints) as ask:
                yield ask
        finally:
            print("cleaning up", flush=True)
            while True:
                try:
                    time.sleep(600)  # a library that waits, and takes no interruption
                except KeyboardInterrupt:
                    pass
"""


class Terminal:
    """A command that runs on a terminal of its own, and what it shows there."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()

        environment = {**os.environ, "PYTHONPATH": str(folder), "TERM": "xterm"}
        self.process = Fork(["-m", "mmsb", *arguments], folder, environment, dict.fromkeys(range(3), theirs))
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> None:
        """Read until it shows a text."""
        while text not in self.shown:
            try:
                part = os.read(self._ours, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                part = b""
            assert part, self.shown
            self.shown += part.decode(errors="replace")

    def press(self, key: bytes) -> None:
        """As on a keyboard."""
        os.write(self._ours, key)

    def end(self) -> int:
        """Its exit code, and all that it shows."""
        try:
            while part := os.read(self._ours, 65536):
                self.shown += part.decode(errors="replace")
        except OSError:
            pass
        return self.process.wait(60)


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[Terminal]:
    made = Terminal(folder, *arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def wait_for(ready: Callable[[], bool], process: Fork) -> None:
    moment = threading.Event()
    while not ready():
        assert process.poll() is None
        moment.wait(0.02)


def test_once_ends_a_sweep_cleanly_with_a_server_that_hangs_and_a_record_that_goes_on(tmp_path: Path) -> None:
    # One word is asked for before a sweep starts.
    with ChatServer(act=lambda *_: HANG if len(server.requests) > 1 else None) as server:
        command = ("model=openai", "model.name=x", f"model.base_url={server.url}", "image_mode=text_only")
        with terminal(tmp_path, *command, "dataset.limit=1,2", "-m") as shell:
            wait_for(lambda: len(server.requests) >= 8, shell.process)
            shell.press(b"\x03")
            code = shell.end()
    assert code == 130
    assert "Interrupted. Everything answered so far is stored" in shell.shown
    assert "Traceback" not in shell.shown
    assert "Sweep of" not in shell.shown  # without the runs that are left its table would be another one
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as database:
        assert {status for (status,) in database.execute("select status from runs")} == {"KILLED"}


def test_twice_ends_at_once_what_does_not_end_by_itself(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN, encoding="utf-8")
    with ChatServer(act=lambda *_: HANG) as server:
        own = ("model._target_=stubborn.Stubborn", "trusted_packages=[stubborn]", "tracker=none")
        command = ("model=openai", "model.name=x", f"model.base_url={server.url}", "image_mode=text_only", *own)
        with terminal(tmp_path, *command) as shell:
            wait_for(lambda: len(server.requests) >= 8, shell.process)
            shell.press(b"\x03")
            shell.until("cleaning up")
            shell.until("Ctrl-C again ends at once")
            shell.press(b"\x03")
            code = shell.end()
    assert code == 130
    assert "Ended at once." in shell.shown
    assert "Traceback" not in shell.shown


def test_twice_ends_a_local_batch_too(tmp_path: Path) -> None:
    (tmp_path / "slow_models.py").write_text(SLOW_MODEL, encoding="utf-8")
    own = ("model._target_=slow_models.Slow", "trusted_packages=[slow_models]", "tracker=none", "image_mode=text_only")
    with terminal(tmp_path, "model=tiny", *own) as shell:
        shell.until("in the batch")
        shell.press(b"\x03")
        shell.press(b"\x03")
        assert shell.end() == 130
    assert "Traceback" not in shell.shown


def test_a_command_that_ends_by_itself_leaves_no_listener_and_no_pipe() -> None:
    signal.set_wakeup_fd(before := signal.set_wakeup_fd(-1))
    files = len(os.listdir("/proc/self/fd"))
    with twice_ends_now():
        assert any(isinstance(thread, Listener) for thread in threading.enumerate())
    assert not any(isinstance(thread, Listener) for thread in threading.enumerate())
    assert len(os.listdir("/proc/self/fd")) == files
    assert signal.set_wakeup_fd(before) == before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_what_comes_in_the_middle_of_a_destructor_is_not_lost(sent: signal.Signals) -> None:
    """Python prints and ignores what is raised there."""

    class Kept:
        pass

    before = sys.unraisablehook, signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before[1])
    kept = [Kept()]
    _alive = weakref.ref(kept[0], lambda _: signal.raise_signal(sent))

    def work() -> None:
        kept.clear()
        threading.Event().wait(60)

    with twice_ends_now() as listener, terminated_as_interrupted():
        assert listener is not None
        try:
            with pytest.raises(KeyboardInterrupt):
                work()
        finally:
            sys.unraisablehook = before[0]
            signal.set_wakeup_fd(before[1])
    assert listener.count == 1  # it came twice and was sent once
    if listener.is_alive():
        listener.stop()


def test_in_another_thread_nothing_is_touched() -> None:
    seen: list[bool] = []

    def other() -> None:
        with twice_ends_now():
            seen.append(any(isinstance(thread, Listener) for thread in threading.enumerate()))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_plan_is_confirmed_at_the_keyboard_or_not_started(tmp_path: Path) -> None:
    with ChatServer() as server:
        dear = ("+prices.llm.x={input: 1000, output: 1000}", "budget.confirm=0.01")
        command = ("model=openai", "model.name=x", f"model.base_url={server.url}", "tracker=none", *dear)
        with terminal(tmp_path, *command) as shell:
            shell.until("Start? [y/N]")
            shell.press(b"n\n")
            assert shell.end() == 1
        assert "not confirmed: nothing was started" in shell.shown
        assert not server.requests
    assert not (tmp_path / "outputs").exists()
