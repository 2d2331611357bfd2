"""What became of mutants in earlier sittings: trying all takes hours, and may be stopped and gone on with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from tests.mutants.listed import ROOT, Mutant

FILE = ROOT / ".cache" / "mutants.jsonl"


def tree(folder: Path) -> str:
    """The digest of all files of a copy: an end counts for the very files that it was seen with, and for no others."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder)}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


class Kept:
    """The ends that were seen with one state of the project's files, on disk as they come."""

    def __init__(self, state: str, file: Path = FILE) -> None:
        self._state, self._file = state, file
        self._ends: dict[str, str] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            found = json.loads(line)
            if found["tree"] == state:
                self._ends[found["tried"]] = found["end"]

    def end(self, tried: Mutant | str) -> str | None:
        """How a mutant, or the tests of unchanged code, ended; None where that was not seen yet."""
        return self._ends.get(_name(tried))

    def add(self, tried: Mutant | str, end: str) -> None:
        """Keep an end."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"tree": self._state, "tried": _name(tried), "end": end}) + "\n")


def _name(tried: Mutant | str) -> str:
    return json.dumps(asdict(tried) if isinstance(tried, Mutant) else tried, sort_keys=True)
