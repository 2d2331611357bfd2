"""Processes that begin as forks of one that has imported what they need: a start costs a fork, not seconds of imports.

A fork is a process like any other: its pid, folder, environment, arguments, files and end are its own, and it can be
killed. It shares what was imported, and the seed of hashes. So whatever is about a command's start (what it loads, says
or takes), or about equal results in spite of other hashes, starts a Python of its own.

The parent of all has a listening socket as its standard input. With each connection it gets a job and its files; it
answers with the pid, and at the end with the exit code. A job whose asker is gone is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib.util
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import types
import warnings
from functools import cache
from pathlib import Path
from typing import Any

MOST, HIGH = 253, 500  # files that one message carries; above the number of any that is open
PLACE = "MMSB_TESTS_FORKS"  # the environment's name of the socket
ROOT = Path(__file__).resolve().parent.parent
PYTHON = f"{sys.executable} -S {Path(__file__).resolve()}"  # for programs that start a Python by its name
NAMED = "MMSB_TESTS_PYTHON"  # the same as one word, for those that begin by it and for what they start themselves
# What takes long to import, by itself or with what it brings along: for any command, and for what only some do.
COMMANDS = ("mmsb.__main__", "mmsb.api", "mmsb.report", "openai", "aiohttp", "rich.progress", "tests.recording")
RECORDS = (
    *("mmsb.tracker.mlflow", "mmsb.tracker.live", "alembic.command"),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.genai"),
)
LOCAL = (
    *("torch", "transformers.activations", "transformers.models.llava", "transformers.generation", "accelerate"),
    *("mmsb.model.hf", "tokenizers", "sentencepiece"),
)
FIGURES = ("altair", "vl_convert")
TABLES = ("sklearn.linear_model", "sklearn.metrics", "scipy.stats", "pandas", "pyarrow.parquet")
GUESSES = ("hypothesis.internal.entropy", "hypothesis.strategies")
HEAVY = (*COMMANDS, *RECORDS, *LOCAL, *FIGURES, *TABLES, *GUESSES)
# What libraries read in the environment when they are imported, and never again.
READ_ONCE = ("HF_", "TRANSFORMERS_", "OMP_", "LD_", "PYTHONHASHSEED")


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        user = os.getppid()
        warm(sys.argv[2:])
        job = serve(socket.socket(fileno=0), user)
        try:
            become(**job)
        except SystemExit as error:
            if not (error.code is None or isinstance(error.code, int)):
                raise
            leave(error.code or 0)
        leave(0)
    else:
        stand_for(Fork(sys.argv[1:], files={number: number for number in inherited()}))


def inherited() -> list[int]:
    """The open files of this process, which one that stands for another was given for it."""
    found = [int(name) for name in os.listdir("/proc/self/fd")]
    return [number for number in found if Path(f"/proc/self/fd/{number}").exists()]  # not that of the listing itself


def stand_for(process: Fork) -> None:
    """Be what whoever started this process sees of it: end as it ends, and pass on what it is told."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: process.send_signal(number))
    code = process.wait()
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def warm(names: list[str]) -> None:
    """Import; no thread may run then, since it would be missing in a fork and the locks that it held would stay."""
    from mmsb.tracker.mlflow_store import QUIET

    os.environ.update(QUIET)
    gc.disable()  # imports make a million objects that stay: walking them again and again is a sixth of the time
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread runs after imports"
    gc.collect()
    gc.freeze()  # no fork walks what is here, so that its memory stays shared
    gc.enable()


def serve(listener: socket.socket, user: int) -> dict[str, Any]:
    """Fork for whoever asks, as long as the user process is there; returns in the forks, each with its job."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[socket.socket, int] = {}
    while os.getppid() == user:
        for ready in select.select([listener, woken, *children], [], [], 5)[0]:
            if ready is woken:
                woken.recv(4096)
            elif ready is listener:
                asker, _ = listener.accept()
                text, files, *_ = socket.recv_fds(asker, 1 << 20, MOST)
                children[asker] = os.fork()
                if not children[asker]:
                    for other in (listener, woken, waker, *children):
                        other.close()
                    return {**json.loads(text), "given": files}
                for file in files:
                    os.close(file)
                asker.send(str(children[asker]).encode())
            else:
                os.kill(children[ready], signal.SIGKILL)
        for asker, child in list(children.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                del children[asker]
                with asker, contextlib.suppress(OSError):
                    asker.send(str(os.waitstatus_to_exitcode(status)).encode())
    sys.exit()


def become(argv: list[str], folder: str, environment: dict[str, str], files: list[int], given: list[int]) -> None:
    """Do what a Python does that is started with these arguments, in a session of its own."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    aside = [fcntl.fcntl(file, fcntl.F_DUPFD, HIGH) for file in given]  # one may have the number that another wants
    for wanted, file in zip(files, aside, strict=True):
        os.dup2(file, wanted)
        os.close(file)
    os.setsid()
    if os.isatty(0):
        with contextlib.suppress(PermissionError):  # it is of another session
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", 1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    other = {name for name, _ in environment.items() ^ os.environ.items() if name.startswith(READ_ONCE)}
    assert not other, f"{other} are read at imports: start a Python"
    ours = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    installed = [place for place in sys.path[1:] if place not in ours]
    while argv[0].startswith(("-u", "-X")):
        argv = argv[2 if argv[0] == "-X" else 1 :]
    sys.executable = environment.get(NAMED, sys.executable)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # looked up once, in the parent's environment
    os.environ.pop("JPY_PARENT_PID", None)  # a notebook's kernel ends where its parent is not this one
    importlib.import_module("tests.recording").as_in_tests()
    os.chdir(folder)
    sys.path[:] = ["" if argv[0] == "-c" else folder, *environment["PYTHONPATH"].split(os.pathsep), *installed]
    importlib.invalidate_caches()
    if argv[0] == "-m":
        sys.argv = argv[1:]
        found = importlib.util.find_spec(argv[1])
        package = found is not None and found.submodule_search_locations is not None
        sys.modules.pop(f"{argv[1]}.__main__" if package else argv[1], None)  # runpy warns of what is imported
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    elif argv[0] != "-c":
        sys.argv, sys.path[0] = argv, str(Path(argv[0]).parent)
        runpy.run_path(argv[0], run_name="__main__")
    else:
        sys.argv = [argv[0], *argv[2:]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(argv[1], vars(sys.modules["__main__"]))


def leave(code: int) -> None:
    """End as Python does, without taking apart all that was imported: each page of it would be copied for that."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 0xFF)


class Fork:
    """A process, used as one of `subprocess.Popen`. What it says is kept, unless it is given other files.

    Attributes:
        out: what it has written so far.
        err: the same of its standard error.
    """

    def __init__(
        self,
        argv: list[str],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        files: dict[int, int] | None = None,
        of: str | None = None,
    ) -> None:
        """`files`: those of this process, by the number that each has there; `of`: the socket of another parent."""
        environment = dict(os.environ if env is None else env)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
        self.returncode: int | None = None
        self._kept = {name: os.memfd_create(name) for name in ("out", "err")}
        self._talk = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._talk.connect(of or parent())
        with Path(os.devnull).open("rb") as nothing:
            given = files or dict(enumerate((nothing.fileno(), *self._kept.values())))
            job = {"argv": argv, "folder": str(cwd or Path.cwd()), "environment": environment, "files": list(given)}
            socket.send_fds(self._talk, [json.dumps(job).encode()], list(given.values()))
        self.pid = int(self._talk.recv(100))

    def __getattr__(self, name: str) -> str:
        if name not in ("out", "err"):
            raise AttributeError(name)
        return os.pread(self._kept[name], 1 << 24, 0).decode()

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        with contextlib.suppress(TimeoutError):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. A `TimeoutError` after so many seconds."""
        if self.returncode is None:
            if not select.select([self._talk], [], [], timeout)[0]:
                raise TimeoutError(f"process {self.pid} goes on after {timeout} s: {self.out}{self.err}")
            self.returncode = int(self._talk.recv(100))
            self._talk.close()
            for name, file in self._kept.items():
                setattr(self, name, getattr(self, name))
                os.close(file)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


class Parent:
    """The process whose forks others are. It ends with this one, or when it is closed.

    Attributes:
        place: its socket.
    """

    def __init__(self, names: tuple[str, ...], env: dict[str, str] | None = None) -> None:
        """`names`: what it imports, in an environment that is its forks' where libraries read it at imports."""
        self._folder = tempfile.mkdtemp(prefix="mmsb-forks-")
        self.place = f"{self._folder}/socket"
        alone = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}  # no threads
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self.place)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", "serve", *names],
                stdin=listener.fileno(),
                cwd=ROOT,
                env={**(os.environ if env is None else env), **alone},
                start_new_session=True,
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it."""
        atexit.unregister(self.close)
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def parent() -> str:
    """The socket of the parent of all forks; it begins when the first is wanted."""
    if PLACE in os.environ:
        return os.environ[PLACE]
    place = Parent(HEAVY).place
    named = Path(place).with_name("python")
    named.write_text(f'#!/bin/sh\n{PLACE}={place} {NAMED}="${{{NAMED}-{named}}}" exec {PYTHON} "$@"\n')
    named.chmod(0o700)
    return place


def python() -> str:
    """A program for those who start a Python by its name: what it is asked to run begins as a fork."""
    return str(Path(parent()).with_name("python"))


def forking(folder: Path, word: str) -> str:
    """A Python that forks for what a word of its arguments says, and begins anew for all else."""
    named = folder / "python"
    named.write_text(f'#!/bin/sh\ncase "$*" in *{word}*) exec {python()} "$@";; esac\nexec {sys.executable} "$@"\n')
    named.chmod(0o700)
    return str(named)


if __name__ == "__main__":
    main()
