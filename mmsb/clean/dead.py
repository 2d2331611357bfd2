"""Folders of runs that did not come to their end, and that nobody is writing to any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mmsb.cli import ERROR_FILE
from mmsb.config import settings
from mmsb.errors import StoreError
from mmsb.results import FILE, claimed
from mmsb.run import FILE as RUN

STARTING = 3600.0  # seconds that looking through the data may take


@settings
class Clean:
    """Settings of a cleaning.

    Attributes:
        output_dir: where the runs are.
        remove: remove them; else they are only named.
    """

    output_dir: Path = Path("outputs")
    remove: bool = False
    trusted_packages: tuple[str, ...] = ()

    def clean(self) -> None:
        """Name the dead runs, and remove them if that is asked for. Answers stay: they are in the store.

        Raises:
            StoreError: a folder cannot be removed.
        """
        found = list(dead(self.output_dir))
        for folder in found:
            print(f"{'removed' if self.remove else 'dead'}: {folder}")
            if self.remove:
                _remove(folder)
        if not found:
            print(f"no run is dead in {self.output_dir}")
            return
        print(f"dead runs: {len(found)}. What was answered stays in {self.output_dir / 'store'}.")
        # Naming is the default: removing cannot be taken back, and a run may be dead for a reason one wants to see.
        if not self.remove:
            print(f"To remove them: python -m mmsb.clean output_dir={self.output_dir} remove=true")


def dead(output_dir: Path) -> Iterator[Path]:
    """The folders of runs without a record of their end, that no process holds."""
    for kind in ("runs/*", "sweeps/*/*"):
        for folder in sorted(output_dir.glob(kind)):
            below = [folder, *folder.parents][: kind.count("*")]
            # A link may point anywhere: what lies behind it is not this folder's to remove.
            if any(place.is_symlink() for place in below) or not folder.is_dir():
                continue
            if _begun(folder) and not claimed(folder):
                yield folder


def _begun(folder: Path) -> bool:
    """Whether a run began there, without the two files of a finished one."""
    if (folder / RUN).is_file() and (folder / FILE).is_file():
        return False
    if (folder / ".lock").is_file() or (folder / ERROR_FILE).is_file():
        return True
    # Hydra's folder comes first, the lock when the data was looked through: a run may be between the two now.
    first = folder / ".hydra"
    return first.is_dir() and time.time() - first.stat().st_mtime > STARTING


def _remove(folder: Path) -> None:
    try:
        # The store is beside the runs, so that no answer goes with them.
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError.writing(folder, error) from error
