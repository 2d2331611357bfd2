"""A long run, followed while it goes on: a process beside it writes its progress and its rate so far to MLflow.

    run --(a line through a pipe, now and then)--> python -m mmsb.tracker.beside --> MLflow

The run never waits: a line that does not fit is dropped, and a process that died is not missed. When the run is killed
the pipe closes, and the process beside it marks the record as killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmsb.paths import PACKAGE
from mmsb.run import Run
from mmsb.tracker.alive import hold, release
from mmsb.tracker.base import Told
from mmsb.types import Result

EVERY = 5.0  # seconds between two lines
PATIENCE = 10.0  # seconds that the process beside gets to end
MODULE = "mmsb.tracker.beside"


@contextmanager
def following(run: Run, total: int, after: float | None, tracker: Mapping[str, Any]) -> Iterator[Told]:
    """Follow a run.

    Args:
        run: the run.
        total: how many samples it will have.
        after: seconds after which it counts as long; None: never.
        tracker: settings of the tracker that the process beside needs.
    """
    if after is None:
        yield lambda result: None
        return
    follower = Follower(run, total, after, tracker)
    status = "FAILED"
    try:
        yield follower.told
        status = ""
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        follower.end(status)


class Follower:
    """Counts, and tells the process beside."""

    def __init__(self, run: Run, total: int, after: float, tracker: Mapping[str, Any]) -> None:
        """Nothing is started until the run has taken `after` seconds."""
        self._run, self._total, self._tracker = run, total, dict(tracker)
        self._started = time.time()
        self._next = time.monotonic() + after
        self._done = self._unsafe = self._rated = 0
        self._process: subprocess.Popen[bytes] | None = None

    def told(self, result: Result) -> None:
        """Count a finished sample."""
        self._done += 1
        # As the metric counts: what could not be rated is in no rate, also while the run goes on.
        if result.verdict.label in ("safe", "unsafe") and not result.sample.question.benign:
            self._rated += 1
            self._unsafe += result.verdict.label == "unsafe"
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            with suppress(OSError):
                self._tell({"done": self._done, "rated": self._rated, "unsafe": self._unsafe, "at": time.time()})

    def end(self, status: str) -> None:
        """Have the process beside end the record with `status`; empty: leave it to whoever logs the results."""
        if self._process is None:
            return
        # A full pipe drops this: the record then says KILLED until the results are logged.
        with suppress(OSError):
            self._tell({"end": status})
        with suppress(OSError):
            assert self._process.stdin
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        release(self._run.folder)

    def _tell(self, values: Mapping[str, Any]) -> None:
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin
        os.write(self._process.stdin.fileno(), json.dumps(values).encode() + b"\n")

    def _start(self) -> subprocess.Popen[bytes]:
        hold(self._run.folder)
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_path())},
            start_new_session=True,  # Ctrl-C is for the run, which then says what becomes of the record
        )
        assert process.stdin
        first = {
            "name": self._run.name,
            "folder": str(self._run.folder.absolute()),
            "choices": dict(self._run.choices),
            "config": dict(self._run.config),
            "sweep": str(self._run.sweep) if self._run.sweep else None,
            "total": self._total,
            "started": self._started,
            "tracker": self._tracker,
        }
        process.stdin.write(json.dumps(first, default=str).encode() + b"\n")
        process.stdin.flush()
        # From here on a full pipe is an error that is passed over: the run must not wait for who watches it.
        os.set_blocking(process.stdin.fileno(), False)
        return process


def _path() -> list[str]:
    """Where the process beside finds this package, wherever it was started."""
    return [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]


def remaining(done: int, total: int, seconds: float) -> str:
    """How far a run is, in words."""
    rate = done / seconds if seconds > 0 else 0.0
    left = f", about {(total - done) / rate / 60:.0f} minutes left" if rate else ""
    return f"{done:,} of {total:,} samples, {rate:.1f} a second{left}"


def output_dir(config: Mapping[str, Any]) -> Path:
    """Where a run's store lies."""
    return Path(str(config.get("output_dir", "outputs")))
