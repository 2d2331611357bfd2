"""The bench that attacks are made on: a server that counts, and commands that are killed where one wants it."""

from __future__ import annotations

import collections
import enum
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmsb.faults.replies import Act, Messages, text_of
from mmsb.faults.serving import chosen
from mmsb.tracker.mlflow_store import QUIET
from tests.batching import BatchServer
from tests.conftest import ROOT
from tests.own_scenario import ASKED, record_of

PROPOSE = "Policy: "  # how a prompt begins that wants questions
MET = ("rate_limit_milliseconds", "rate_limit_past", "rate_limit_html", "server_error", "connection", "malformed")
FAULTS = [fault for fault in chosen(MET) if fault.ends == "again" and fault.requests == 1]
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
        rater: whether somebody sits at a terminal and labels what is shown.
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
    rater: bool = False
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

    def __init__(self, scratch: Path, shim: Path) -> None:
        self.scratch = scratch
        self.server = BatchServer(reply=reply, act=self._fault)
        self._came: collections.Counter[str] = collections.Counter()
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

    def warm(self, folder: Path, module: str, *arguments: str, **more: Any) -> Ended:
        """Run a command once, undisturbed, and import from now on what it had imported."""
        loaded = self.scratch / "loaded.json"
        ended = self.run(folder, module, *arguments, loaded=str(loaded), **more)
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
        """A new folder; with the content of another. What meets a fault meets it once in each."""
        self._came.clear()
        self._made += 1
        folder = self.scratch / f"trial-{self._made}"
        if template:
            shutil.copytree(template, folder)
        else:
            folder.mkdir()
        return folder

    def _fault(self, text: str, attempt: int) -> Act | None:
        """One in three of a dataset's prompts is answered only when it comes again."""
        self._came[text] += 1
        number = zlib.crc32(text.encode())
        if self._came[text] > 1 or number % 3 or not text.startswith((PROPOSE, ASKED)):
            return None
        return FAULTS[number % len(FAULTS)].act(reply([{"role": "user", "content": text}]))

    def _told(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._zygote.stdin
        assert self._zygote.stdout
        self._zygote.stdin.write(json.dumps(job) + "\n")
        self._zygote.stdin.flush()
        told: dict[str, Any] = json.loads(self._zygote.stdout.readline())
        return told


def reply(messages: Messages) -> str:
    """Half of the answers refuse; questions and records of a dataset come in the form that is wanted."""
    text = text_of(messages)
    if text.startswith(ASKED):
        return record_of(text)
    if text.startswith(PROPOSE):
        return "\n".join(f"{n}. Ask {zlib.crc32(f'{n} {text}'.encode())} of item {n}?" for n in range(1, 21))
    return f"I'm sorry, I can't help with that: {text}" if len(text) % 2 else f"Sure. Here is how: {text}"


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


@contextmanager
def lab() -> Iterator[Lab]:
    """A lab with its server; all of it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="mmsb-proof-") as name:
        shim = Path(name) / "shim.so"
        command = [str(compiler()), "-std=gnu11", "-O1", "-shared", "-fPIC", "-w", "-o", str(shim), str(SHIM), "-ldl"]
        subprocess.run(command, check=True)
        made = Lab(Path(name), shim)
        with made.server:
            try:
                yield made
            finally:
                made.close()
