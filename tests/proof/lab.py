"""The bench that attacks are made on: a server that counts, and commands that are killed where one wants it."""

from __future__ import annotations

import collections
import enum
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmsb.digest import digest_file
from mmsb.faults.replies import Messages, text_of
from mmsb.tracker.mlflow_store import QUIET
from tests.batching import BatchServer
from tests.conftest import ROOT

SHIM = Path(__file__).with_name("shim.c")


class Mode(enum.IntEnum):
    """What the shim does; the order is that of shim.c."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_TORN = 3
    FULL = 4
    READ_ONLY = 5
    CLOCK = 6


KILLS = (Mode.KILL_BEFORE, Mode.KILL_TORN, Mode.KILL_AFTER)


@dataclass(frozen=True)
class Job:
    """A command as the zygote runs it.

    Attributes:
        folder: where it runs.
        module: and its arguments.
        mode: what breaks, at which step of the files below `folder`.
        seconds: after which it is killed; None: never.
        shadow: a folder that gets a copy of every file that is synced; empty: none.
        together: how many at the same moment.
        vanish: seconds after which the folder's `outputs` is removed; None: never.
    """

    folder: str
    module: str
    arguments: tuple[str, ...]
    mode: int = Mode.COUNT
    at: int = 0
    seconds: float | None = None
    shadow: str = ""
    together: int = 1
    vanish: float | None = None
    root: str = ""
    output: str = ""
    loaded: str = ""
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a job ended: exit codes (-9: killed), steps taken, and what was printed."""

    codes: list[int]
    steps: int
    hung: bool
    output: str


class Lab:
    """Commands, killed and unkilled."""

    def __init__(self, scratch: Path, shim: Path, server: BatchServer) -> None:
        self.scratch = scratch
        self.server = server
        env = {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"}
        env.pop("OPENAI_API_KEY", None)
        env |= QUIET  # the command sets it before it imports MLflow, which is imported here already
        env |= {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(scratch / "cache"), "PYTHONWARNINGS": "ignore"}
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.proof.zygote"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._made = 0

    @property
    def asked(self) -> int:
        """How many prompts the server has been asked, one by one or in batches."""
        return len(self.server.requests) + len(self.server.asked)

    def close(self) -> None:
        """End the zygote."""
        self._zygote.communicate(timeout=60)

    def warm(self, folder: Path, module: str, *arguments: str) -> Ended:
        """Run a command once, undisturbed, and import from now on what it had imported."""
        loaded = self.scratch / "loaded.json"
        ended = self.run(folder, module, *arguments, loaded=str(loaded))
        self._told({"imports": str(loaded)})
        return ended

    def run(self, folder: Path, module: str, *arguments: str, **more: Any) -> Ended:
        """Run a command below a folder; `more` are fields of `Job`."""
        output = self.scratch / "output.txt"
        output.unlink(missing_ok=True)
        job = Job(str(folder), module, arguments, **{"root": str(folder), "output": str(output), **more})
        told = self._told(asdict(job))
        return Ended(**told, output=output.read_text(errors="replace") if output.exists() else "")

    def folder(self, template: Path | None = None) -> Path:
        """A new folder; with the content of another."""
        self._made += 1
        folder = self.scratch / f"trial-{self._made}"
        if template:
            shutil.copytree(template, folder)
        else:
            folder.mkdir()
        return folder

    def _told(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._zygote.stdin
        assert self._zygote.stdout
        self._zygote.stdin.write(json.dumps(job) + "\n")
        self._zygote.stdin.flush()
        told: dict[str, Any] = json.loads(self._zygote.stdout.readline())
        return told


def reply(messages: Messages) -> str:
    """Half of the answers refuse."""
    text = text_of(messages)
    return f"I'm sorry, I can't help with that: {text}" if len(text) % 2 else f"Sure. Here is how: {text}"


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


@contextmanager
def lab(delay: float = 0.0) -> Iterator[Lab]:
    """A lab with its server; all of it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="mmsb-proof-") as name, BatchServer(reply=reply, delay=delay) as server:
        shim = Path(name) / "shim.so"
        command = [str(compiler()), "-std=gnu11", "-O1", "-shared", "-fPIC", "-w", "-o", str(shim), str(SHIM), "-ldl"]
        subprocess.run(command, check=True)
        made = Lab(Path(name), shim, server)
        try:
            yield made
        finally:
            made.close()


# ---- what is left -------------------------------------------------------------------------------------------------


def rows(folder: Path) -> collections.Counter[str]:
    """How many finished results of a folder have which content, by digest."""
    return collections.Counter(digest_file(path) for path in folder.rglob("results.jsonl"))


def ledger(folder: Path) -> dict[str, int]:
    """What MLflow holds: runs by status, traces, assessments, metrics; nothing where there is no store."""
    path = folder / "outputs" / "mlflow.db"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as store:
        found = dict(store.execute("select status, count(*) from runs where lifecycle_stage='active' group by status"))
        for table in ("trace_info", "assessments", "latest_metrics"):
            (found[table],) = store.execute(f"select count(*) from {table}").fetchone()
        (found["sound"],) = (int(row[0] == "ok") for row in store.execute("pragma integrity_check"))
    return found


def lose_power(folder: Path, shadow: Path) -> None:
    """Leave of each file what had reached the disk: its content when it was last synced."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            kept = shadow / str(path.stat().st_ino)
            path.write_bytes(kept.read_bytes() if kept.exists() else b"")


def keep_all(folder: Path, shadow: Path) -> None:
    """What lies there before the command begins has long been on the disk."""
    shadow.mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            shutil.copyfile(path, shadow / str(path.stat().st_ino))
