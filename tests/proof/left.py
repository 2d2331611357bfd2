"""What a command leaves, and what a power cut leaves of that."""

from __future__ import annotations

import collections
import re
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mmsb.digest import digest_file

MADE = re.compile(  # when, in a set's card and on a page; and of which code, that somebody may change meanwhile
    rb'\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ| \d\d:\d\d)?|(?<="commit": )("[^"]*"|null)'
)
IN_FLIGHT = 4  # requests at a time


@dataclass(frozen=True)
class Left:
    """What a command left: its results, what MLflow holds, the files of a dataset; and what was asked for it."""

    results: Mapping[str, int]
    recorded: Mapping[str, int]
    files: Mapping[str, bytes]
    asked: int

    @classmethod
    def of(cls, folder: Path, asked: int) -> Left:
        """What lies in a folder."""
        data = folder / "data"
        # no one reads drafts, and the journal of what was typed is in the order of the work
        found = [
            path for path in data.rglob("*") if path.is_file() and path.suffix != ".tmp" and ".create" not in path.parts
        ]
        files = {str(path.relative_to(data)): MADE.sub(b"when it was made", path.read_bytes()) for path in found}
        return cls(rows(folder), ledger(folder), files, asked)

    def differs(self, other: Left, kills: int) -> list[str]:
        """What of this, which was attacked, is not as in `other`, which was not."""
        found = []
        if set(self.results) != set(other.results):
            found.append(f"results {sorted(self.results)}, not {sorted(other.results)}")
        if self.recorded != other.recorded:
            found.append(f"MLflow holds {self.recorded}, not {other.recorded}")
        if self.files != other.files:
            names = sorted(
                name for name in {*self.files, *other.files} if self.files.get(name) != other.files.get(name)
            )
            found.append(f"files of the dataset differ: {names}")
        if self.asked > other.asked + kills * IN_FLIGHT:
            found.append(f"asked {self.asked} times, {other.asked} without attack, {kills} kills")
        return found


def rows(folder: Path) -> collections.Counter[str]:
    """How many finished results of a folder have which content, by digest."""
    return collections.Counter(digest_file(path) for path in folder.rglob("results.jsonl"))


def ledger(folder: Path) -> dict[str, int]:
    """What MLflow holds: runs by status, traces, assessments, metrics; nothing where there is no store."""
    path = folder / "outputs" / "mlflow.db"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as store:
        found = dict(store.execute("select status, count(*) from runs where lifecycle_stage='active' group by status"))
        for table in ("trace_info", "assessments", "latest_metrics"):
            (found[table],) = store.execute(f"select count(*) from {table}").fetchone()
        (found["sound"],) = (int(row[0] == "ok") for row in store.execute("pragma integrity_check"))
    return found


def lose_power(folder: Path, shadow: Path) -> None:
    """Leave of each file what had reached the disk: its content when it was last synced."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            kept = shadow / str(path.stat().st_ino)
            path.write_bytes(kept.read_bytes() if kept.exists() else b"")


def keep_all(folder: Path, shadow: Path) -> None:
    """What lies there before the command begins has long been on the disk."""
    shadow.mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            shutil.copyfile(path, shadow / str(path.stat().st_ino))
