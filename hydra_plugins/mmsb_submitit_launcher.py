"""`hydra/launcher=submitit_local` and `submitit_slurm`: Hydra's own, where a run that is lost leaves the others be.

Theirs raise where a job's process is killed, so that the sweep ends without its tables while other jobs still go on.
"""

from __future__ import annotations

import importlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

try:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher  # type: ignore[import-untyped]
except ImportError:  # the extra is not installed, which is said when one of these is chosen
    BaseSubmititLauncher = object

ENDED_WITHIN = 5.0  # seconds that an interrupted run has to end by itself


class Job:  # no dataclass: Hydra runs this module before it is in sys.modules, where dataclasses look for it
    """A job of submitit; lost, its error lies in its run's folder, and it has a result as one that ended has."""

    def __init__(self, job: Any, folder: Path, told: set[str]) -> None:
        """The job of the run in this folder; `told`: errors of the sweep that were said, each of them once."""
        self.job, self.folder, self.told = job, folder, told

    def results(self) -> list[JobReturn]:
        """Wait for it."""
        from submitit.core.utils import UncompletedJobError

        from mmsb.cli import ERROR_FILE, say
        from mmsb.digest import write_atomically

        try:
            found: list[JobReturn] = self.job.results()
            self._tell()
            return found
        except UncompletedJobError as error:
            why = f"run {self.folder.name} was lost, its process was killed (for want of memory?)"
            say(f"error: {why}; its log: {self.job.paths.stderr}")
            write_atomically(self.folder / ERROR_FILE, f"{why}: {error}\n")
            return [JobReturn(status=JobStatus.COMPLETED)]

    def _tell(self) -> None:
        """Say its error: what it printed lies in a log, on another machine perhaps."""
        from mmsb.cli import ERROR_FILE, say

        file = self.folder / ERROR_FILE
        error = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        if error and error not in self.told:
            self.told.add(error)
            problem, _, remedy = error.partition("\n")
            say(f"error in run {self.folder.name}: {problem}" + (f"\n  try: {remedy}" if remedy else ""))


class _Patient(BaseSubmititLauncher):  # type: ignore[misc]
    """Waits for all jobs, whatever becomes of one."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all."""
        with _told_of_losses(Path(self.config.hydra.sweep.dir), initial_job_idx):
            found: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
            return found


@contextmanager
def _told_of_losses(sweep: Path, first: int) -> Iterator[None]:
    """Have submitit hand out jobs as `Job`: the launcher above asks it alone, and keeps no list of them."""
    import submitit

    theirs, told = submitit.AutoExecutor, set[str]()

    class Executor(theirs):  # type: ignore[misc, valid-type]
        def map_array(self, *given: Any) -> list[Job]:
            return [Job(job, sweep / str(first + n), told) for n, job in enumerate(super().map_array(*given))]

    submitit.AutoExecutor = Executor  # type: ignore[misc]
    try:
        yield
    finally:
        submitit.AutoExecutor = theirs  # type: ignore[misc]


class LocalLauncher(_Patient):
    """Jobs as processes of this machine."""

    _EXECUTOR = "local"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all; they end with the command that waits for them."""
        with _in_groups_of_their_own():
            try:
                return super().launch(job_overrides, initial_job_idx)
            except KeyboardInterrupt:
                _end_jobs()  # what they went on to ask would be in no bill
                raise


@contextmanager
def _in_groups_of_their_own() -> Iterator[None]:
    """Have submitit start what holds a job apart from the terminal, whose Ctrl-C is ours to act on."""
    local = importlib.import_module("submitit.local.local")
    local.subprocess = SimpleNamespace(Popen=partial(subprocess.Popen, process_group=0))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        local.subprocess = subprocess  # type: ignore[attr-defined]


def _end_jobs() -> None:
    """End the jobs that this process began: first what would begin them again, then they themselves."""
    import psutil  # type: ignore[import-untyped]

    jobs = []
    for holder in psutil.Process().children():
        with suppress(psutil.Error):  # it ended meanwhile
            if "submitit.local._local" in holder.cmdline():
                jobs += holder.children()
                holder.kill()
    for job in jobs:
        with suppress(psutil.Error):
            job.send_signal(signal.SIGINT)
    for job in psutil.wait_procs(jobs, ENDED_WITHIN)[1]:
        with suppress(psutil.Error):
            job.kill()


class SlurmLauncher(_Patient):
    """Jobs of Slurm."""

    _EXECUTOR = "slurm"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all; they go on where the command that waits for them is interrupted, which is said."""
        from mmsb.cli import say

        try:
            return super().launch(job_overrides, initial_job_idx)
        except KeyboardInterrupt:
            sweep = Path(self.config.hydra.sweep.dir)
            arrays = sorted({folder.name.partition("_")[0] for folder in sweep.glob(".submitit/*/")} - {"%j", "%A"})
            # The queue is the user's: who waits for days goes away from the terminal, and wants his jobs to run.
            say(f"\nIts jobs go on: `scancel {' '.join(arrays)}` ends them, python -m mmsb.status says how they are.")
            say(f"Once they are done: python -m mmsb.report runs={sweep}")
            if self.config.hydra.runtime.choices.get("tracker") != "none":
                say(f"The record of the sweep says KILLED until then: python -m mmsb.log run={sweep}")
            raise
