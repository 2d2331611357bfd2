"""What starts the runs, and where they lie: a launcher that cannot, a folder that is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmsb.errors import ConfigError, MmsbError
from mmsb.gpus import visible_gpus
from mmsb.preflight.disk import unusable
from mmsb.replicas.cluster import ADDRESS

NUMBERED = "${hydra.job.num}"  # how tables, the tracker and `mmsb.status` find the runs of a sweep
SLURM = ("srun", "sbatch")
OWN: dict[
    str, tuple[str, Callable[[float], bool]]
] = {  # settings of launchers that have to be a number, and what it may be
    "n_jobs": ("a number of processes, or -1 for all cores", lambda value: value != 0),
    "timeout_min": ("minutes, above 0", lambda value: value > 0),
    "num_cpus": ("a number of cores, above 0", lambda value: value > 0),
    "num_gpus": ("a number of GPUs", lambda value: value >= 0),
    "array_parallelism": ("a number of jobs, above 0", lambda value: value > 0),
}


def launching(config: DictConfig) -> Iterator[MmsbError]:
    """What keeps a command's runs from being started, whatever they are.

    Args:
        config: composed for the command, Hydra's part included.
    """
    several = config.hydra.mode is RunMode.MULTIRUN
    setting, folder = ("sweep", config.hydra.sweep.dir) if several else ("run", config.hydra.run.dir)
    # Of what lies in output_dir is told there.
    if not Path(folder).is_relative_to(config.output_dir) and (wrong := unusable(f"hydra.{setting}.dir", Path(folder))):
        yield wrong
    if several:
        yield from _of_a_sweep(config)


def _of_a_sweep(config: DictConfig) -> Iterator[MmsbError]:
    if (subdir := OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]) != NUMBERED:  # type: ignore[call-overload, index]
        yield ConfigError(
            f"hydra.sweep.subdir={subdir}: the runs of a sweep lie in folders of their numbers",
            "Leave it out; hydra.sweep.dir names the folder of the sweep.",
        )
    launcher = config.hydra.launcher
    for name, (meant, fits) in OWN.items():
        value = launcher.get(name)
        if value is not None and not (isinstance(value, int | float) and fits(value)):
            yield ConfigError(f"hydra.launcher.{name}={value}: {meant} is meant", "Leave it out, or correct it.")
    target = str(launcher.get("_target_"))
    if target.endswith("SlurmLauncher") and (lacking := [name for name in SLURM if not shutil.which(name)]):
        yield ConfigError(
            f"hydra/launcher=submitit_slurm needs Slurm's {' and '.join(lacking)}, which this machine does not have",
            "Start it where jobs are submitted; hydra/launcher=submitit_local runs them here.",
        )
    if target.endswith("RayLauncher") and not os.environ.get(ADDRESS):
        for name, there in (("num_gpus", len(visible_gpus())), ("num_cpus", os.cpu_count() or 1)):
            wanted = launcher.get(name)
            if isinstance(wanted, int | float) and wanted > there:
                yield ConfigError(
                    f"hydra.launcher.{name}={wanted:g} of each run; this machine has {there}",
                    f"Ask for less, or set {ADDRESS} to a cluster that has more.",
                )
