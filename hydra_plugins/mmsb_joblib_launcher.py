"""`hydra/launcher=joblib`: Hydra's own, where a run whose process is killed leaves the others be.

Where the system kills one process, for want of memory say, joblib ends them all, and Hydra's launcher raises.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, setup_globals

try:
    from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher as Theirs  # type: ignore[import-untyped]
except ImportError:  # the extra is not installed, which is said when this one is chosen
    Theirs = object

QUIET = "ignore:resource_tracker:UserWarning"
LOOK = 1.0  # seconds between two looks whether the command is still there


class JoblibLauncher(Theirs):  # type: ignore[misc]
    """Runs in processes of this machine, as many at a time as there is room for."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all; one whose process is killed twice is lost, its error in its folder."""
        from mmsb.cli import say

        setup_globals()
        # joblib's own process that tidies up says so where we were interrupted, below our last word.
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), QUIET)))
        self._sweep = Path(self.config.hydra.sweep.dir)
        self._overrides = {initial_job_idx + n: overrides for n, overrides in enumerate(job_overrides)}
        left, alone = list(self._overrides), list[int]()
        done: dict[int, JobReturn] = {}
        while left:
            try:
                done.update(self._run(left))
                break
            except BrokenProcessPool:
                begun = [number for number in left if self._begun(number)] or left
                left = [number for number in left if number not in begun]
                alone += [number for number in begun if not self._ended(number)]
                say(
                    "a run's process was killed (for want of memory?), and all that ran beside it were ended: "
                    f"{', '.join(map(str, alone))} of the sweep go on last, each alone"
                )
        for number in alone:
            try:
                done.update(self._run([number]))
            except BrokenProcessPool:
                self._lost(number)
        return [done.get(number, JobReturn(status=JobStatus.COMPLETED)) for number in self._overrides]

    def _run(self, numbers: Sequence[int]) -> dict[int, JobReturn]:
        from hydra_plugins.hydra_joblib_launcher._core import execute_job  # type: ignore[import-untyped]
        from joblib import Parallel, delayed  # type: ignore[import-untyped]

        given = (self.hydra_context, self.config, self.task_function, Singleton.get_state())
        job = delayed(_with_its_parent)
        jobs = [job(execute_job, number, self._overrides[number], *given) for number in numbers]
        return dict(zip(numbers, Parallel(backend="loky", **self._settings())(jobs), strict=True))

    def _settings(self) -> dict[str, Any]:
        from hydra_plugins.hydra_joblib_launcher._core import process_joblib_cfg

        settings = dict(self.joblib)
        process_joblib_cfg(settings)
        return settings

    def _begun(self, number: int) -> bool:
        return (self._sweep / str(number)).is_dir()

    def _ended(self, number: int) -> bool:
        from mmsb.cli import ERROR_FILE, STOPPED_FILE
        from mmsb.run import FILE

        return any((self._sweep / str(number) / name).exists() for name in (FILE, ERROR_FILE, STOPPED_FILE))

    def _lost(self, number: int) -> None:
        from mmsb.cli import ERROR_FILE, say
        from mmsb.digest import write_atomically

        why = f"run {number} was lost, its process was killed twice, the second time alone (for want of memory?)"
        say(f"error: {why}")
        write_atomically(self._sweep / str(number) / ERROR_FILE, why + "\n")


def _with_its_parent(job: Callable[..., JobReturn], *given: Any) -> JobReturn:
    """One run, whose process ends with the command that began it, however that ends: joblib's would go on."""
    # Once: a process takes one run after another.
    if not any(thread.name == __name__ for thread in threading.enumerate()):
        threading.Thread(target=_end_with, args=(os.getppid(),), name=__name__, daemon=True).start()
    return job(*given)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)
