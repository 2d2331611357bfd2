"""`hydra/launcher=ray`: each run of a sweep as a task of Ray, on whichever node has room for it.

Hydra's own launcher for Ray asks for a cloudpickle older than joblib's and does without Ray's 2.x defaults, so this is
a thin one on Ray's API. Hydra takes launchers from the package `hydra_plugins` alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

PASSED_ON = ("MMSB_", "MLFLOW_", "HF_", "OPENAI_")  # variables that runs read; a cluster's own processes lack them


class RayLauncher(Launcher):
    """Runs of a sweep as tasks of Ray."""

    def __init__(self, num_cpus: float, num_gpus: float | None, max_retries: int) -> None:
        """What each run gets, and how often it is begun again where its process or its node dies.

        `num_gpus`: None is one where the cluster has any.
        """
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus
        self.max_retries = max_retries

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all; one that is lost leaves the others running, and its error in its folder."""
        import ray

        from mmsb.replicas.cluster import Room, begin

        setup_globals()
        begin("hydra/launcher=ray", shown=True)
        gpus = self.num_gpus if self.num_gpus is not None else min(1, ray.cluster_resources().get("GPU", 0))
        Room("runs at a time", 1, self.num_cpus, gpus).check()
        job = ray.remote(num_cpus=self.num_cpus, num_gpus=gpus, max_retries=self.max_retries, max_calls=1)(_run)
        variables = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
        common = ray.put((os.getcwd(), variables, self.context, self.config, self.task, Singleton.get_state()))
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        begun = [job.remote(common, list(ov), number) for ov, number in zip(job_overrides, numbers, strict=True)]
        try:
            return list(self._results(dict(zip(numbers, begun, strict=True))))
        except KeyboardInterrupt:
            ray.shutdown()  # the runs end with it: what they go on to ask would be in no bill
            raise

    def _results(self, begun: dict[int, Any]) -> Iterator[JobReturn]:
        """Of all runs, by their numbers; where Ray itself dies, those that are not done are lost with it."""
        import ray

        from mmsb.cli import say
        from mmsb.replicas.cluster import LOOK, lost

        for number, ref in begun.items():
            while not ray.wait([ref], timeout=LOOK)[0]:
                if error := lost():
                    say(f"error: {error.problem}, and with it the runs that were not done\n  try: {error.remedy}")
                    ray.shutdown()
                    yield from (self._end(left, error.problem) for left in begun if left >= number)
                    return
            yield self._result(ref, number)

    def _result(self, ref: Any, number: int) -> JobReturn:
        import ray
        from ray.exceptions import RayError, RayTaskError

        from mmsb.cli import say

        try:
            done: JobReturn = ray.get(ref)
            return done
        except RayTaskError:
            raise
        except RayError as error:
            why = f"its process or its node died {self.max_retries + 1} times: {error}"
            say(f"error: run {number} was lost, {why.splitlines()[0]}")
            return self._end(number, why)

    def _end(self, number: int, why: str) -> JobReturn:
        """A run of which Ray tells nothing more: an error in its folder, unless it wrote there how it ended."""
        from mmsb.cli import ERROR_FILE, STOPPED_FILE
        from mmsb.digest import write_atomically
        from mmsb.run import FILE

        folder = Path(self.config.hydra.sweep.dir) / str(number)
        if not any((folder / name).exists() for name in (FILE, ERROR_FILE, STOPPED_FILE)):
            write_atomically(folder / ERROR_FILE, f"run {number} was lost, {why}\n")
        return JobReturn(status=JobStatus.COMPLETED)


def _run(common: tuple[Any, ...], overrides: list[str], number: int) -> JobReturn:
    """One run, in a process of its own on some node."""
    folder, variables, context, config, task, state = common
    if Path(folder).is_dir():
        os.chdir(folder)
    os.environ.update(variables)
    setup_globals()
    Singleton.set_state(state)
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id = f"{composed.hydra.job.name}_{number}"
        composed.hydra.job.num = number
    HydraConfig.instance().set_config(composed)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
