"""The list of mutants: by_hand.yaml (what would hurt most), drawn.yaml (a seeded sample of cosmic-ray's: draw.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent  # not from conftest, which imports what is mutated
LISTS = ("by_hand.yaml", "drawn.yaml")


class Stale(Exception):
    """The file is not any more what the mutant was written for."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: from the project's root.
        why: what it would do to a user.
        old: text that occurs once in the file; behind `at`, where that is given.
        new: what takes its place.
        tests: pytest's names of the tests that concern it.
        at: text before it, that occurs once.
        survives: why no test can, or need, notice it; empty for those that must die.
    """

    file: str
    why: str
    old: str
    new: str
    tests: tuple[str, ...]
    at: str = ""
    survives: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.file}: {self.why}"

    def applied(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            Stale: the old text is not there, or not once.
        """
        before, at, after = text.partition(self.at) if self.at else ("", "", text)
        if self.at and (not at or self.at in after):
            raise Stale(f"{self.file}: {self.at!r} is not there once")
        if not (after.count(self.old) == 1 or (self.at and self.old in after)):
            raise Stale(f"{self.file}: {self.old!r} is there {after.count(self.old)} times")
        return before + at + after.replace(self.old, self.new, 1)


@cache
def mutants() -> tuple[Mutant, ...]:
    """All of them, in the order of the lists."""
    return tuple(mutant for name in LISTS for mutant in _read(HERE / name))


def _read(path: Path) -> Iterator[Mutant]:
    listed: Mapping[str, Mapping[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for file, group in listed.items():
        for fields in group["mutants"]:
            tests = fields.pop("tests", group["tests"])
            yield Mutant(file=file, tests=tuple(f"tests/{name}" for name in tests), **fields)


def stale(root: Path = ROOT) -> list[str]:
    """What is wrong with mutants that do not apply."""
    found = []
    for mutant in mutants():
        try:
            mutant.applied((root / mutant.file).read_text(encoding="utf-8"))
        except (Stale, OSError) as error:
            found.append(f"{mutant.why}: {error}")
    return found
