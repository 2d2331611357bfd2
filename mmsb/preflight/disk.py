"""Room on the disk, before anything is written there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mmsb.errors import StoreError

ROW_BYTES = 40_000  # of a sample on disk: 34,000 were measured, 27,000 of them its trace in MLflow


def check_disk(output_dir: Path, samples: int) -> StoreError | None:
    """Whether what runs would write has room, and may be written."""
    if wrong := unusable("output_dir", output_dir):
        return wrong
    place = standing(output_dir)
    wanted, there = ROW_BYTES * samples, free_bytes(output_dir)
    if wanted <= there or not shutil.disk_usage(place).total:  # a file system without sizes, such as /proc
        return None
    problem = f"the results may take {wanted / 1e6:,.0f} MB, and {output_dir} has {there / 1e6:,.0f} MB free"
    return StoreError(problem, "Free space or set output_dir to another disk.")


def unusable(setting: str, folder: Path) -> StoreError | None:
    """Why nothing can be written in a folder that may not be there yet; `setting` names it."""
    if file := next((place for place in (folder, *folder.parents) if place.is_file()), None):
        return StoreError(f"{setting}={folder}: {file} is a file", f"Set {setting} to a folder.")
    place = standing(folder)
    if not os.access(place, os.W_OK):
        return StoreError(f"{setting}={folder}: {place} cannot be written to", f"Set {setting} to another folder.")
    return None


def free_bytes(folder: Path) -> int:
    """What is free on the disk of a folder that may not be there yet."""
    return shutil.disk_usage(standing(folder)).free


def standing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
