"""Public repositories at a commit, read without a work tree, and the rows that are made of them."""

from __future__ import annotations

import csv
import io
import subprocess
from math import inf
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Clone:
    """One repository at its commit, read without a work tree."""

    def __init__(self, name: str, address: str, commit: str, folder: Path) -> None:
        """Clone it unless it is there."""
        self.commit = commit
        self.path = folder / name
        if not self.path.exists():
            subprocess.run(["git", "clone", "--bare", address, str(self.path)], check=True)

    def git(self, *arguments: str) -> bytes:
        """What git says."""
        return subprocess.run(["git", "--git-dir", str(self.path), *arguments], check=True, capture_output=True).stdout

    def files(self, under: str, largest: float = inf) -> list[str]:
        """The paths under a folder whose contents are there, of at most so many bytes."""
        listed = self.git("ls-tree", "-r", "-l", self.commit, "--", under).decode().splitlines()
        sized = [line.split(None, 4) for line in listed]
        return [path for *_, size, path in sized if size.isdigit() and int(size) <= largest]

    def text(self, path: str) -> str:
        """One file."""
        return self.git("show", f"{self.commit}:{path}").decode("utf-8", "replace")

    def table(self, path: str) -> list[dict[str, str]]:
        """One CSV file."""
        return list(csv.DictReader(io.StringIO(self.text(path), newline="")))


def row_of(system: str, language: str, question: str, answer: str, kind: str, agreed: bool, by: str = "people") -> Row:
    """One labelled answer, but for its source."""
    return {
        "system": system,
        "language": language,
        "question": question,
        "answer": answer,
        "kind": kind,
        "agreed": agreed,
        "by": by,
    }
