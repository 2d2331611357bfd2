"""What became of mutants in earlier sittings: trying all takes long, and may be stopped and gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from tests.mutants.listed import HERE, ROOT, Mutant, mutants

FILE = ROOT / ".cache" / "mutants.jsonl"
KILLERS = HERE / "killers.json"  # which test killed which mutant when it was last tried


class End(NamedTuple):
    """How tests ended.

    Attributes:
        how: a word for people.
        by: the last test that ran, which failed or hung where the mutant was killed.
    """

    how: str
    by: str


def tree(folder: Path) -> str:
    """The digest of all files of a copy: an end counts for the very files that it was seen with, and for no others."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != KILLERS.name):
        whole.update(f"{path.relative_to(folder)}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


class Kept:
    """The ends that were seen with one state of the project's files, on disk as they come.

    Attributes:
        killers: by mutant, the test that killed it, whatever the state of the files was.
    """

    def __init__(self, state: str, file: Path = FILE) -> None:
        self._state, self._file = state, file
        self._ends: dict[str, End] = {}
        self.killers: dict[str, str] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            found = json.loads(line)
            if found["tree"] == state:
                self._ends[found["tried"]] = End(found["end"], found["by"])
            if found["end"] == "killed":
                self.killers[found["name"]] = found["by"]

    def end(self, tried: Mutant | str) -> End | None:
        """How a mutant, or a test of unchanged code, ended; None where that was not seen yet."""
        return self._ends.get(_key(tried))

    def add(self, tried: Mutant | str, end: End) -> None:
        """Keep an end."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        name = tried.name if isinstance(tried, Mutant) else tried
        line = {"tree": self._state, "tried": _key(tried), "name": name, "end": end.how, "by": end.by}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def killers() -> dict[str, str]:
    """By mutant, the test that killed it when all were last tried."""
    return dict(json.loads(KILLERS.read_text(encoding="utf-8"))) if KILLERS.exists() else {}


def remember(killed: Mapping[str, str]) -> None:
    """Write down which tests killed; of mutants that are no more nothing stays."""
    whole = {**killers(), **killed}
    listed = {mutant.name: whole[mutant.name] for mutant in mutants() if mutant.name in whole}
    KILLERS.write_text(json.dumps(listed, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _key(tried: Mutant | str) -> str:
    return json.dumps(asdict(tried) if isinstance(tried, Mutant) else tried, sort_keys=True)
