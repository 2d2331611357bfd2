"""The GPUs that this process may use, found without loading torch; and one of them for each process of a sweep."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from mmsb.errors import ConfigError
from mmsb.processes import cores

VISIBLE = "CUDA_VISIBLE_DEVICES"
SWEEPS = "MMSB_GPUS"  # of the process that began the sweep: submitit hides all GPUs from the processes it begins here
LOOK = 0.5  # seconds between two looks for a free place

_held: dict[str, IO[bytes]] = {}  # what this process claimed, and its lock


def visible_gpus() -> list[str]:
    """Their ids as CUDA_VISIBLE_DEVICES takes them, in its order; without it all that the driver lists."""
    # Before nvidia-smi is asked: it lists all of a machine's GPUs, those of other jobs among them.
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    try:
        told = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    count = sum(line.startswith("GPU ") for line in told.stdout.splitlines())
    return [str(number) for number in range(count)]


def side_by_side() -> int:
    """How many runs with local models go on at a time on this machine: one a GPU, without GPUs one a core."""
    return len(visible_gpus()) or cores()


def claim(wait: bool) -> None:
    """Take a GPU that no other process of a sweep has, for as long as this process lives; without GPUs a core.

    Locks are files, so that processes of any kind see them and a killed one lets go. Only the GPU is made visible.

    Args:
        wait: until one is free.

    Raises:
        ConfigError: none is free.
    """
    if _held:
        return
    shared = os.environ.get(SWEEPS)
    gpus = visible_gpus() if shared is None else list(filter(None, shared.split(",")))
    places = [f"gpu {name}" for name in gpus] or [f"core {number}" for number in range(cores())]
    while not (taken := next((place for place in places if _take(place)), None)):
        if not wait:
            raise ConfigError(
                f"all {len(places)} GPUs or cores are taken by other runs", f"hydra.launcher.n_jobs={len(places)}"
            )
        time.sleep(LOOK)
    if gpus:
        os.environ[VISIBLE] = taken.removeprefix("gpu ")


def _take(place: str) -> bool:
    # Not in `outputs/`: two sweeps with different folders share the same GPUs.
    folder = Path(tempfile.gettempdir()) / f"mmsb-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = (folder / f"{place.replace('/', '_')}.lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return False
    # Kept open: a lock goes with the last descriptor of its file.
    _held[place] = lock
    return True
