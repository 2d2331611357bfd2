"""What a tracker is: it is told about runs. It never slows one down and never loses one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from mmsb.digest import write_atomically
from mmsb.errors import DataError, TrackingError
from mmsb.run import Run, SavedRun
from mmsb.schemas import BROKEN, Count
from mmsb.types import Result, Sample
from mmsb.withholding import Withhold

SWEEP_FILE = "sweep.json"
UNRECORDED_FILE = "unrecorded.txt"  # of a sweep: why something of it is not recorded, and what makes up for it
Told = Callable[[Result], None]
MakePage = Callable[[Withhold, Path], Path | None]
"""Writes the page of a sweep as one file into a folder, without what is withheld; None: there is none."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, known by what was asked for: begun again, in another folder, it is the same one.

    Attributes:
        folder: where its runs lie.
        name: of the experiment, or "sweep".
        identity: digest of what was asked for.
        runs: how many there will be; None where the sweeper decides that on its way.
    """

    folder: Path
    name: str
    identity: str
    runs: int | None = None

    def save(self) -> None:
        """Write it down in its folder, for its runs and for whoever records it later."""
        # Not the folder: a sweep that was moved, or begun again elsewhere, is the same one.
        values = {"name": self.name, "identity": self.identity, "runs": self.runs}
        write_atomically(self.folder / SWEEP_FILE, json.dumps(values) + "\n")

    @classmethod
    def at(cls, folder: Path) -> Sweep | None:
        """The sweep in a folder; None where there is none.

        Raises:
            DataError: its file is broken.
        """
        path = folder / SWEEP_FILE
        if not path.is_file():
            return None
        try:
            said = msgspec.json.decode(path.read_bytes(), type=_Said)
            return cls(folder, said.name, said.identity, said.runs)
        except BROKEN as error:
            raise DataError(f"{path} is not a sweep's record", "Remove it: its runs then stand alone.") from error

    def miss(self, error: TrackingError) -> bool:
        """Note that something of it is not recorded; tells whether this is the first, which alone a person is told."""
        # Its runs may be processes of a launcher, which meet the same server.
        path = self.folder / UNRECORDED_FILE
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(f"{error.problem}\n{error.remedy}\n")
        except FileExistsError:
            return False
        except OSError:  # the disk that MLflow found full: said again then, rather than never
            path.unlink(missing_ok=True)
        return True

    def missed(self) -> TrackingError | None:
        """What was noted so; None where all is recorded."""
        path = self.folder / UNRECORDED_FILE
        if not path.is_file():
            return None
        problem, _, remedy = path.read_text(encoding="utf-8").strip().partition("\n")
        return TrackingError(problem, remedy)

    def made_up_for(self) -> None:
        """Forget it: all is recorded now."""
        (self.folder / UNRECORDED_FILE).unlink(missing_ok=True)


class _Said(msgspec.Struct, frozen=True):
    """A sweep as its file has it."""

    name: str
    identity: str
    runs: Count | None = None


@contextmanager
def made(page: MakePage, withhold: Withhold) -> Iterator[Path | None]:
    """The page of a sweep in a folder of its own, which goes with the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield page(withhold, Path(folder))


@runtime_checkable
class Tracker(Protocol):
    """Records runs for comparison. What raises TrackingError leaves the results complete."""

    def open_sweep(self, sweep: Sweep) -> None:
        """Prepare for a sweep's runs, before any of them starts.

        Raises:
            TrackingError: it cannot be recorded now.
        """
        ...

    def follow(self, run: Run, total: int) -> AbstractContextManager[Told]:
        """Follow a run while it goes on. It is told each finished sample; that takes no time and raises nothing.

        Args:
            run: the run that begins.
            total: how many samples it will have.
        """
        ...

    def log(self, run: SavedRun, asked: Iterable[Sample]) -> str | None:
        """Record a finished run; recorded already, its record is brought up to date.

        Args:
            run: the run as it lies on disk.
            asked: its samples, in the order of its rows; read as far as they are needed.

        Returns:
            How to look at it, in one line for the terminal (for a run of a sweep, `close_sweep` says so).

        Raises:
            TrackingError: it cannot be recorded now.
        """
        ...

    def leave_sweep(self, sweep: Sweep) -> None:
        """Record that a sweep was interrupted, with those of its runs that ended with it.

        Raises:
            TrackingError: it cannot be recorded now.
        """
        ...

    def close_sweep(self, sweep: Sweep, runs: Sequence[SavedRun], finished: bool, page: MakePage) -> str | None:
        """Record the end of a sweep.

        Args:
            sweep: the sweep.
            runs: its finished runs.
            finished: whether all its runs came to their end.
            page: writes their page, for who keeps it with the sweep.

        Returns:
            How to look at it, in one line for the terminal.

        Raises:
            TrackingError: it cannot be recorded now.
        """
        ...
