"""The bench that attacks are made on: a server that counts, and commands that are killed where one wants it."""

from __future__ import annotations

import collections
import enum
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mmsb.faults.replies import Act, Messages, text_of
from mmsb.faults.serving import chosen
from mmsb.tracker.mlflow_store import QUIET
from tests.batching import BatchServer
from tests.conftest import ROOT
from tests.forks import COMMANDS, Fork, Parent
from tests.own_scenario import ASKED, record_of
from tests.proof import armed
from tests.proof.rater import Idle, Rater

PROPOSE = "Policy: "  # how a prompt begins that wants questions
MET = ("rate_limit_milliseconds", "rate_limit_past", "rate_limit_html", "server_error", "connection", "malformed")
FAULTS = [fault for fault in chosen(MET) if fault.ends == "again" and fault.requests == 1]
SHIM = Path(__file__).with_name("shim.c")
HUNG_AFTER = 300.0  # seconds


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
class Ended:
    """How a job ended: exit codes (-9: killed), steps taken, and what was printed."""

    codes: list[int]
    steps: int
    hung: bool
    output: str


class Lab:
    """Commands, killed and unkilled: forks of a process that has the shim, which each of them arms."""

    def __init__(self, scratch: Path, shim: Path, imports: tuple[str, ...]) -> None:
        self.scratch = scratch
        self.server = BatchServer(reply=reply, act=self._fault)
        self._came: collections.Counter[str] = collections.Counter()
        env = {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"}
        env.pop("OPENAI_API_KEY", None)
        env |= QUIET  # the command sets it before it imports MLflow, which is imported here already
        env |= {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(scratch / "cache"), "PYTHONWARNINGS": "ignore"}
        self._env = env
        self._parent = Parent((*COMMANDS, *imports, armed.__name__), env)
        self._made = 0

    @property
    def asked(self) -> int:
        """How many prompts the server has been asked, one by one or in batches."""
        return len(self.server.requests) + len(self.server.asked)

    def close(self) -> None:
        """End what commands are forks of."""
        self._parent.close()

    def run(
        self,
        folder: Path,
        module: str,
        *arguments: str,
        mode: Mode = Mode.COUNT,
        at: int = 0,
        seconds: float | None = None,
        shadow: str = "",
        together: int = 1,
        vanish: float | None = None,
        rater: bool = False,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Ended:
        """Run a command below a folder.

        Args:
            folder: where it runs.
            module: and its arguments.
            arguments: of the module.
            mode: what breaks, at which step of the files below `folder`.
            at: that step.
            seconds: after which it is killed; None: never.
            shadow: a folder that gets a copy of every file that is synced; empty: none.
            together: how many at the same moment.
            vanish: seconds after which the folder's `outputs` is removed; None: never.
            rater: whether somebody sits at a terminal and labels what is shown.
            env: what the command finds in its environment besides.
        """
        output = self.scratch / "output.txt"
        output.unlink(missing_ok=True)
        with steps() as counter, output.open("ab") as out, Rater(output) if rater else Idle() as typing:
            told = [str(value) for value in (counter, int(mode), at, folder, shadow)]
            command = ["-m", armed.__name__, *told, module, *arguments]
            files = {0: typing.terminal, 1: out.fileno(), 2: out.fileno(), counter: counter}
            running = [Fork(command, folder, {**self._env, **env}, files, self._parent.place) for _ in range(together)]
            hung = watched(running, typing, seconds, vanish, folder / "outputs")
            codes, number = [one.wait() for one in running], int.from_bytes(os.pread(counter, 8, 0), sys.byteorder)
        return Ended(codes, number, hung, output.read_text(errors="replace"))

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


@contextmanager
def steps() -> Iterator[int]:
    """A file in which the shims of all processes count what they have let through."""
    file = os.memfd_create("steps")
    os.ftruncate(file, 8)
    yield file
    os.close(file)


def watched(
    running: Sequence[Fork], typing: Rater | Idle, seconds: float | None, vanish: float | None, outputs: Path
) -> bool:
    """Wait until all have ended, and break what is to be broken meanwhile; whether one had to be killed as it hung."""
    began, hung = time.monotonic(), False
    while any(one.poll() is None for one in running):
        since = time.monotonic() - began
        if vanish and since > vanish:
            vanish = None
            shutil.rmtree(outputs, ignore_errors=True)
        if since > (seconds or HUNG_AFTER):
            hung = not seconds
            for one in running:
                one.kill()
        typing.look()
        time.sleep(0.002)
    return hung


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
def lab(imports: tuple[str, ...] = ()) -> Iterator[Lab]:
    """A lab with its server, whose commands begin with more imported; all of it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="mmsb-proof-") as name:
        shim = Path(name) / "shim.so"
        command = [str(compiler()), "-std=gnu11", "-O1", "-shared", "-fPIC", "-w", "-o", str(shim), str(SHIM), "-ldl"]
        subprocess.run(command, check=True)
        made = Lab(Path(name), shim, imports)
        with made.server:
            try:
                yield made
            finally:
                made.close()
