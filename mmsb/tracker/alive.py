"""Whether who records a run or a sweep still lives: it holds a lock in its folder, which the system lets go of."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

LOCK = ".recording"
_held: dict[Path, IO[bytes]] = {}


def hold(folder: Path) -> None:
    """Hold the folder's lock until `release`, or until this process ends; without a word if another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Another process records here, or this one does already; to wait would stop the run.
        lock.close()
    else:
        _held[folder] = lock


def release(folder: Path) -> None:
    """Let go of the folder's lock, if this process holds it."""
    if lock := _held.pop(folder, None):
        # Removed while it is still held: after the release another may hold the same file.
        Path(lock.name).unlink(missing_ok=True)
        lock.close()


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold the folder's lock meanwhile."""
    hold(folder)
    try:
        yield
    finally:
        release(folder)


def alive(folder: Path) -> bool:
    """Whether somebody holds the folder's lock."""
    with suppress(OSError), (folder / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
