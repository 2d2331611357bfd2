"""Processes that begin as forks of one that has imported what they need: a start costs a fork, not seconds of imports.

A fork is a process like any other: it has its own pid, folder, environment, arguments, files and end, and can be killed.
It shares what was imported, and the seed of hashes. So whatever is about a command's start, what it loads or takes, or
about equal results in spite of other hashes, starts a process of its own: `subprocess` and `sys.executable`.

The parent gets its listening socket as its standard input, and a job and three files with each connection. It answers
with the pid, and at the end with the status; a job whose asker is gone is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import types
import warnings
from pathlib import Path
from typing import Any

PLACE = "MMSB_TESTS_FORKS"  # the environment's name of the socket
ROOT = Path(__file__).resolve().parent.parent
CLIENT = f"{sys.executable} -S {Path(__file__).resolve()}"  # in the place of a Python, for programs that start one
# Those that take long: alone, or with what they bring along.
HEAVY = (
    "mmsb.__main__ mmsb.api mmsb.tracker.mlflow mmsb.tracker.live mmsb.report mmsb.model.hf openai aiohttp rich.progress "
    "mlflow.store.tracking.sqlalchemy_store mlflow.genai alembic.command torch transformers.activations transformers.models.llava "
    "transformers.generation accelerate sklearn.metrics sklearn.linear_model pandas pyarrow.parquet scipy.stats altair "
    "vl_convert tokenizers sentencepiece hypothesis.internal.entropy hypothesis.strategies"
).split()
# What libraries read once, when they are imported.
READ_ONCE = ("HF_", "TRANSFORMERS_", "OMP_", "LD_", "PYTHONHASHSEED")


def main() -> None:
    if sys.argv[1:] == ["serve"]:
        warm()
        become(**serve(socket.socket(fileno=0)))
    else:  # in the place of a Python, for a program that starts one
        sys.exit(Fork(sys.argv[1:], files=(0, 1, 2)).wait())


def warm() -> None:
    """Import; no thread may run when it forks, since it would be missing in the fork with its locks held."""
    from mmsb.tracker.mlflow_store import QUIET

    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in HEAVY:
            importlib.import_module(name)
    running = os.listdir("/proc/self/task")
    assert len(running) == 1, f"{len(running)} threads run after imports"
    gc.collect()
    gc.freeze()  # what is here stays: no fork walks it again, and its memory stays shared


def serve(listener: socket.socket) -> dict[str, Any]:
    """Fork for whoever asks, for ever; returns in the forks, with their jobs."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[socket.socket, int] = {}
    while True:
        for ready in select.select([listener, ours, *children], [], [])[0]:
            if ready is ours:
                ours.recv(4096)
            elif ready is listener:
                asker, _ = listener.accept()
                text, files, *_ = socket.recv_fds(asker, 1 << 20, 3)
                child = os.fork()
                if not child:
                    for other in (ours, theirs, listener, asker, *children):
                        other.close()
                    return {**json.loads(text), "files": files}
                for file in files:
                    os.close(file)
                asker.send(str(child).encode())
                children[asker] = child
            else:
                os.kill(children[ready], signal.SIGKILL)
        for asker, child in list(children.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                del children[asker]
                with contextlib.suppress(OSError), asker:
                    asker.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(argv: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    """What the interpreter does when it starts with these arguments."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for wanted, given in enumerate(files):
        os.dup2(given, wanted)
        os.close(given)
    os.setsid()
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", 1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", 1, errors="backslashreplace", closefd=False)
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    plain = [place for place in sys.path[1:] if place not in given]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    argv = [one for one in argv if one != "-u"]
    ahead = "" if argv[0] == "-c" else folder
    sys.path[:] = [ahead, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *plain]
    importlib.invalidate_caches()
    if argv[0] == "-m":
        sys.argv = argv[1:]
        for name in (argv[1], f"{argv[1]}.__main__"):  # it was imported, and runs now
            sys.modules.pop(name, None) if name != "mmsb" else None
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        assert argv[0] == "-c", argv
        sys.argv = ["-c", *argv[2:]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(argv[1], vars(sys.modules["__main__"]))


class Fork:
    """A process as `subprocess.Popen` is one; what it says is kept, unless it is given other files."""

    def __init__(
        self,
        argv: list[str],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        files: tuple[int, int, int] | None = None,
    ) -> None:
        environment = dict(os.environ if env is None else env)
        changed = {name for name, _ in environment.items() ^ os.environ.items()}
        assert not [name for name in changed if name.startswith(READ_ONCE)], "read at imports: start a Python"
        self.returncode: int | None = None
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._talk = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._talk.connect(parent())
        job = {"argv": argv, "folder": str(cwd or Path.cwd()), "environment": environment}
        with open(os.devnull, "rb") as nothing:
            given = files or (nothing.fileno(), self._out.fileno(), self._err.fileno())
            socket.send_fds(self._talk, [json.dumps(job).encode()], given)
        self.pid = int(self._talk.recv(100))

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        with contextlib.suppress(TimeoutError):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; a `TimeoutError` after so many seconds."""
        if self.returncode is None:
            if not select.select([self._talk], [], [], timeout)[0]:
                raise TimeoutError(f"process {self.pid} goes on after {timeout} s; it said: {self.out}{self.err}")
            self.returncode = int(self._talk.recv(100))
            self._talk.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    @property
    def out(self) -> str:
        """What it has written so far."""
        return os.pread(self._out.fileno(), 1 << 30, 0).decode()

    @property
    def err(self) -> str:
        """The same of its standard error."""
        return os.pread(self._err.fileno(), 1 << 30, 0).decode()

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


def parent() -> str:
    """The socket of the parent of forks; it begins when the first is wanted, and ends with this process."""
    if PLACE not in os.environ:
        place = os.environ[PLACE] = f"{tempfile.mkdtemp(prefix='mmsb-forks-')}/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(place)
            listener.listen(64)
            command = [sys.executable, "-m", "tests.forks", "serve"]
            alone = {**os.environ, "JE_ARROW_MALLOC_CONF": "background_thread:false"}  # it begins when pyarrow is imported
            process = subprocess.Popen(command, stdin=listener, cwd=ROOT, env=alone, start_new_session=True)
        atexit.register(process.wait)
        atexit.register(process.terminate)
    return os.environ[PLACE]


if __name__ == "__main__":
    main()
