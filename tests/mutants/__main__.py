"""python -m tests.mutants [WORDS]: try all mutants, or those that a word fits; prints which were killed.

Each is applied in a copy of the project, and tests run there, in a fork of a process that has imported the libraries:
first the one test that killed it before (killers.json), and only where that passes the files that concern it, up to the
first failure. A test that killed must pass without any mutant, or nothing is shown.
Stopped, the same command goes on where it was, as long as no file of the project has changed.
"""

from __future__ import annotations

import importlib.util
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

import pytest

from tests.mutants.kept import End, Kept, killers, remember, tree
from tests.mutants.listed import ROOT, Mutant, Stale, mutants

LIBRARIES = (
    *("pytest", "hypothesis", "numpy", "scipy.stats", "pandas", "torch", "PIL.Image", "yaml", "orjson", "msgspec"),
    *("hydra.main", "omegaconf", "jinja2.sandbox", "pydantic.dataclasses", "rich.console", "rich.table", "psutil"),
    *("openai", "openai.types.chat", "aiohttp", "httpx2", "tenacity", "aiolimiter", "cryptography.x509", "regex"),
    *("rich.progress", "fontTools.ttLib"),
)
ALREADY = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
CPU_SECONDS, TEST_SECONDS = 120, 180  # of one mutant's tests, and of the one that runs: beyond it they hang
WORKERS = int(os.environ.get("MUTANTS_AT_A_TIME", "2"))
KILLED, SURVIVED, HUNG, BROKEN, UNSHOWN = "killed", "SURVIVED", "killed, by hanging", "NO TESTS", "NOT SHOWN"
ENDS = {
    0: SURVIVED,
    1: KILLED,
    2: KILLED,
    3: KILLED,
    4: BROKEN,
    5: BROKEN,
}  # pytest's exit codes; 2, 3: it cannot even import


@dataclass(frozen=True)
class Work:
    """Tests to run: on a mutant, or on the code as it is."""

    tests: tuple[str, ...]
    mutant: Mutant | None = None


@dataclass
class Trial:
    """A run of tests in a copy."""

    work: Work
    copy: Path
    process: int
    text: str = ""  # of the mutant's file, before

    def ended(self) -> End | None:
        """How it ended; None while it runs."""
        done, status = os.waitpid(self.process, os.WNOHANG)
        if not done and time.time() - _watched(self.copy).stat().st_mtime < TEST_SECONDS:
            return None
        with suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)  # and what it started
        if not done:
            os.waitpid(self.process, 0)
        code = os.waitstatus_to_exitcode(status) if done else -signal.SIGXCPU
        by = _watched(self.copy).read_text(encoding="utf-8")
        return End(HUNG if code == -signal.SIGXCPU else ENDS.get(code, BROKEN), by)


class Watch:
    """A plugin of pytest's that leaves in a file which test runs, and so, behind a first failure, which one failed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._file.write_text(report.nodeid, encoding="utf-8")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._file.write_text(nodeid, encoding="utf-8")


def _watched(copy: Path) -> Path:
    return copy.with_suffix(".test")


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


def write(path: Path, text: str) -> None:
    """Change a file. What was compiled of it would count for another text that is as long and of the same second."""
    path.write_text(text, encoding="utf-8")
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def started(work: Work, copy: Path) -> Trial:
    """Apply the mutant, if there is one, and begin the tests."""
    text = ""
    if work.mutant:
        path = copy / work.mutant.file
        text = path.read_text(encoding="utf-8")
        write(path, work.mutant.applied(text))
    _watched(copy).write_text("", encoding="utf-8")
    process = os.fork()
    if not process:
        try:
            _run(list(work.tests), copy)
        finally:
            os._exit(70)  # never back into the loop that began it
    return Trial(work, copy, process, text)


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
    words = ["-q", "-x", "-p", "no:cacheprovider", "-W", ALREADY, *tests]
    code = pytest.main(words, plugins=[Watch(_watched(copy))])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def tried(works: Iterable[Work], copies: list[Path]) -> Iterator[tuple[Work, End]]:
    """Each with how it ended, as many at a time as there are copies."""
    free, running = list(copies), list[Trial]()
    waiting = list(reversed(list(works)))
    while waiting or running:
        while free and waiting:
            work, copy = waiting.pop(), free.pop()
            try:
                running.append(started(work, copy))
            except Stale as error:
                free.append(copy)
                yield work, End(f"STALE: {error}", "")
        for trial in list(running):
            if end := trial.ended():
                running.remove(trial)
                if trial.work.mutant:
                    write(trial.copy / trial.work.mutant.file, trial.text)
                free.append(trial.copy)
                yield trial.work, end
        time.sleep(0.05)


def tried_on(works: Iterable[Work], copies: list[Path]) -> Iterator[tuple[Mutant, End]]:
    """The same for works that have a mutant."""
    for work, end in tried(works, copies):
        assert work.mutant
        yield work.mutant, end


def ends(chosen: Sequence[Mutant], copies: list[Path], kept: Kept) -> Iterator[tuple[Mutant, End]]:
    """Each with how it ended, now or in an earlier sitting."""
    known = {mutant: end for mutant in chosen if (end := kept.end(mutant))}
    yield from known.items()
    left = [mutant for mutant in chosen if mutant not in known]
    before = killers() | kept.killers
    hard = [mutant for mutant in left if mutant.name not in before]
    for mutant, end in tried_on((Work((before[m.name],), m) for m in left if m.name in before), copies):
        if end.how in (KILLED, HUNG):
            kept.add(mutant, end)
            yield mutant, end
        else:  # that test is another now: the others must tell
            hard.append(mutant)
    for mutant, end in tried_on((Work(mutant.tests, mutant) for mutant in hard), copies):
        if end.how in (KILLED, SURVIVED, HUNG):
            kept.add(mutant, end)
        yield mutant, end


def unreliable(tests: Iterable[str], copies: list[Path], kept: Kept) -> set[str]:
    """Those of the tests that fail without any mutant, twice; that they pass is remembered, that they fail is not."""
    wanted = [Work((test,)) for test in dict.fromkeys(tests) if test and not kept.end(test)]
    for _ in range(2):
        failed = []
        for work, end in tried(wanted, copies):
            if end.how == SURVIVED:
                kept.add(work.tests[0], end)
            else:
                failed.append(work)
        wanted = failed
    return {work.tests[0] for work in wanted}


def try_all(chosen: list[Mutant], copies: list[Path], kept: Kept) -> Counter[str]:
    """Try the mutants, and print what became of each."""
    counts, found = Counter[str](), dict[Mutant, End]()
    for mutant, end in ends(chosen, copies, kept):
        found[mutant] = end
        excused = f" ({mutant.survives})" if end.how == SURVIVED and mutant.survives else ""
        counts["excused" if excused else end.how] += 1
        print(f"{end.how:10} {mutant.file}: {mutant.why}{excused}", flush=True)
    broken = unreliable((end.by for end in found.values() if end.how in (KILLED, HUNG)), copies, kept)
    for mutant, end in found.items():
        if end.by in broken and end.how in (KILLED, HUNG):
            counts.subtract([end.how])
            counts[UNSHOWN] += 1
            print(f"{UNSHOWN:10} {mutant.file}: {mutant.why}\n  {end.by} fails without any mutant")
    remember({mutant.name: end.by for mutant, end in found.items() if end.how == KILLED and end.by not in broken})
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
    told = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if number)
    print(f"{len(chosen)} mutants: {told}; {time.monotonic() - began:.0f} s, {spent:.0f} s of CPU")
    return int(counts[KILLED] + counts[HUNG] + counts["excused"] < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
