"""python -m tests.mutants [WORDS]: try all mutants, or those that a word fits; prints which were killed.

Each is applied in a copy of the project, and the tests that concern it run there, in a fork of a process that has
imported the libraries: a mutant costs seconds. Without any mutant all these tests must pass, or nothing is shown.
Stopped, the same command goes on where it was, as long as no file of the project has changed.
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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


Work = Mutant | str  # what is tried: a mutant, or tests of the code as it is


@dataclass
class Trial:
    """A run of tests in a copy."""

    work: Work
    copy: Path
    process: int
    began: float
    text: str = ""  # of the mutant's file, before

    def ended(self) -> str | None:
        """How it ended; None while it runs."""
        done, status = os.waitpid(self.process, os.WNOHANG)
        if not done and time.monotonic() - self.began < WALL_SECONDS:
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


def started(work: Work, copy: Path) -> Trial:
    """Apply a mutant and begin its tests; or begin tests of the code as it is."""
    text = ""
    if isinstance(work, Mutant):
        path = copy / work.file
        text = path.read_text(encoding="utf-8")
        path.write_text(work.applied(text), encoding="utf-8")
    process = os.fork()
    if not process:
        try:
            _run([work] if isinstance(work, str) else list(work.tests), copy)
        finally:
            os._exit(70)  # never back into the loop that began it
    return Trial(work, copy, process, time.monotonic(), text)


def _run(tests: list[str], copy: Path) -> None:
    """In the fork: the tests, of the copy's code."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.dont_write_bytecode = False  # the next mutant of this copy imports what was compiled
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mmsb", "tests", "tools", "hydra_plugins")]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(place for place in sys.path if place not in ("", str(ROOT)))]
    out = os.open(copy.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    import pytest

    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", ALREADY, *tests])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def tried(chosen: Iterable[Work], copies: list[Path]) -> Iterator[tuple[Work, str]]:
    """Each with what became of it, as many at a time as there are copies."""
    free, running = list(copies), list[Trial]()
    waiting = list(reversed(list(chosen)))
    while waiting or running:
        while free and waiting:
            work, copy = waiting.pop(), free.pop()
            try:
                running.append(started(work, copy))
            except Stale as error:
                free.append(copy)
                yield work, f"STALE: {error}"
        for trial in list(running):
            if end := trial.ended():
                running.remove(trial)
                if isinstance(trial.work, Mutant):
                    (trial.copy / trial.work.file).write_text(trial.text, encoding="utf-8")
                free.append(trial.copy)
                yield trial.work, end
        time.sleep(0.05)


def ends(chosen: Sequence[Work], copies: list[Path], kept: Kept) -> Iterator[tuple[Work, str]]:
    """Each with what became of it, now or in an earlier sitting."""
    known = {work: end for work in chosen if (end := kept.end(work))}
    yield from known.items()
    for work, end in tried((work for work in chosen if work not in known), copies):
        if end in (KILLED, SURVIVED, HUNG):
            kept.add(work, end)
        yield work, end


def try_all(chosen: list[Mutant], copies: list[Path], kept: Kept) -> Counter[str]:
    """Try the mutants, once their tests are known to pass without them, and print what became of each."""
    counts = Counter[str]()
    tests = list(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
    if broken := [str(test) for test, end in ends(tests, copies, kept) if end != SURVIVED]:
        print(f"error: tests that fail without any mutant\n  try: python -m pytest {' '.join(broken)}")
        return counts
    for mutant, end in ends(chosen, copies, kept):
        assert isinstance(mutant, Mutant)
        excused = mutant.survives if end == SURVIVED else ""
        counts["excused" if excused else end] += 1
        print(f"{end:10} {mutant.file}: {mutant.why}{f' ({excused})' if excused else ''}", flush=True)
    return counts


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
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mmsb-mutants-") as name:
        copies = [copied(Path(name) / f"copy-{n}") for n in range(WORKERS)]
        counts = try_all(chosen, copies, Kept(tree(copies[0])))
    spent = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    told = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    print(f"{len(chosen)} mutants: {told}; {time.monotonic() - began:.0f} s, {spent:.0f} s of CPU")
    return int(counts[KILLED] + counts[HUNG] + counts["excused"] < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
