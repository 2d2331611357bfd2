"""python -m tests.mutants [WORDS]: try all mutants, or those that a word fits; prints which were killed.

Each is applied in a copy of the project, and the tests that concern it run there, in a fork of a process that has
imported the libraries: a mutant costs seconds. Without any mutant all these tests must pass, or nothing is shown.
Stopped, the same command goes on where it was, as long as no file of the project has changed.
"""

from __future__ import annotations

import importlib
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.kept import Kept, tree
from tests.mutants.listed import ROOT, Mutant, Stale, mutants

LIBRARIES = (
    *("pytest", "hypothesis", "numpy", "scipy.stats", "pandas", "torch", "PIL.Image", "yaml", "orjson", "msgspec"),
    *("hydra.main", "omegaconf", "jinja2.sandbox", "pydantic.dataclasses", "rich.console", "rich.table", "psutil"),
    *("openai", "openai.types.chat", "aiohttp", "httpx2", "tenacity", "aiolimiter", "cryptography.x509", "regex"),
    *("rich.progress", "fontTools.ttLib"),
)
ALREADY = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
CPU_SECONDS, WALL_SECONDS = 240, 1200  # of one mutant's tests: beyond it they hang
WORKERS = int(os.environ.get("MUTANTS_AT_A_TIME", "2"))
KILLED, SURVIVED, HUNG, BROKEN = "killed", "SURVIVED", "killed, by hanging", "NO TESTS"
ENDS = {
    0: SURVIVED,
    1: KILLED,
    2: KILLED,
    3: KILLED,
    4: BROKEN,
    5: BROKEN,
}  # pytest's exit codes; 2, 3: it cannot even import


@dataclass
class Trial:
    """A run of tests in a copy."""

    mutant: Mutant | None
    copy: Path
    process: int
    began: float
    text: str = ""  # of the mutant's file, before

    def ended(self, limit: float = WALL_SECONDS) -> str | None:
        """How it ended; None while it runs, for `limit` seconds."""
        done, status = os.waitpid(self.process, os.WNOHANG)
        if not done and time.monotonic() - self.began < limit:
            return None
        with suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)  # and what it started
        if not done:
            os.waitpid(self.process, 0)
            return HUNG
        code = os.waitstatus_to_exitcode(status)
        return HUNG if code == -signal.SIGXCPU else ENDS.get(code, BROKEN)


def copied(folder: Path) -> Path:
    """The project's files, as they are now."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():  # conf/experiment is one, to a folder
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def started(mutant: Mutant | None, tests: Iterable[str], copy: Path) -> Trial:
    """Apply a mutant and begin its tests."""
    text = ""
    if mutant:
        path = copy / mutant.file
        text = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(text), encoding="utf-8")
    process = os.fork()
    if not process:
        try:
            _run(list(tests), copy, stop=mutant is not None)
        finally:
            os._exit(70)  # never back into the loop that began it
    return Trial(mutant, copy, process, time.monotonic(), text)


def _run(tests: list[str], copy: Path, stop: bool) -> None:
    """In the fork: the tests, of the copy's code."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5)) if stop else None
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.dont_write_bytecode = False  # the next mutant of this copy imports what was compiled
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mmsb", "tests", "tools", "hydra_plugins")]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(place for place in sys.path if place not in ("", str(ROOT)))]
    if stop:
        out = os.open(copy.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
    import pytest

    code = pytest.main(
        ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", ALREADY, *(["-x"] if stop else []), *tests]
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def tried(chosen: Iterable[Mutant], scratch: Path) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with what became of it, some at a time."""
    free = [copied(scratch / f"copy-{n}") for n in range(WORKERS)]
    running: list[Trial] = []
    waiting = list(reversed(list(chosen)))
    while waiting or running:
        while free and waiting:
            mutant, copy = waiting.pop(), free.pop()
            try:
                running.append(started(mutant, mutant.tests, copy))
            except Stale as error:
                free.append(copy)
                yield mutant, f"STALE: {error}"
        for trial in list(running):
            if (end := trial.ended()) and trial.mutant:
                running.remove(trial)
                (trial.copy / trial.mutant.file).write_text(trial.text, encoding="utf-8")
                free.append(trial.copy)
                yield trial.mutant, end
        time.sleep(0.05)


def sound(chosen: Iterable[Mutant], copy: Path, kept: Kept) -> bool:
    """Whether all these tests pass where nothing is changed."""
    tests = list(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
    if kept.end(tests) == SURVIVED:
        return True
    trial = started(None, tests, copy)
    while (end := trial.ended(limit=math.inf)) is None:
        time.sleep(0.1)
    kept.add(tests, end)
    return end == SURVIVED


def all_ends(chosen: list[Mutant], scratch: Path, kept: Kept) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with what became of it, now or in an earlier sitting."""
    known = {mutant: end for mutant in chosen if (end := kept.end(mutant))}
    yield from known.items()
    for mutant, end in tried((mutant for mutant in chosen if mutant not in known), scratch):
        if end in (KILLED, SURVIVED, HUNG):
            kept.add(mutant, end)
        yield mutant, end


def main() -> int:
    """Try them, and print what became of each."""
    words = sys.argv[1:]
    chosen = [
        mutant for mutant in mutants() if not words or any(word in f"{mutant.file} {mutant.why}" for word in words)
    ]
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork takes no threads with it
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    began, counts = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="mmsb-mutants-") as name:
        whole = copied(Path(name) / "whole")
        kept = Kept(tree(whole))
        if not sound(chosen, whole, kept):
            print("error: these tests fail without any mutant\n  try: Mend that first: make test")
            return 1
        for mutant, end in all_ends(chosen, Path(name), kept):
            excused = mutant.survives if end == SURVIVED else ""
            counts["excused" if excused else end] += 1
            print(f"{end:10} {mutant.file}: {mutant.why}{f' ({excused})' if excused else ''}", flush=True)
    spent = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    told = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    print(f"{len(chosen)} mutants: {told}; {time.monotonic() - began:.0f} s, {spent:.0f} s of CPU")
    return int(counts[KILLED] + counts[HUNG] + counts["excused"] < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
