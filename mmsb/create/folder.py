"""The folder that a dataset is made in, in the authors' layout.

<root>/questions/{scenario}.txt                       one question a line
       processed_questions/{scenario}.json            the records, by id
       imgs/{scenario}/{SD,TYPO,SD_TYPO}/{id}.jpg     the pictures
       scenario/{name}.yaml                           scenarios of the user's own, as options of the group `scenario`
       review/{scenario}.json                         what a person should look at
       manifest.json, README.md, sheets/              made last
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsb.dataset.base import ImageKind
from mmsb.dataset.mm_safetybench import MMSafetyBench, read_json
from mmsb.digest import write_atomically
from mmsb.errors import DataError
from mmsb.font import find_arial
from mmsb.scenario import Scenario
from mmsb.types import Question

KINDS: tuple[ImageKind, ...] = ("SD", "TYPO", "SD_TYPO")
Record = dict[str, str]


@dataclass(frozen=True)
class Folder:
    """Where each piece of a dataset lies below `root`."""

    root: Path

    def lines_file(self, scenario: str) -> Path:
        """The scenario's questions, one a line; the line's number from 0 is the question's id."""
        return self.root / "questions" / f"{scenario}.txt"

    def records_file(self, scenario: str) -> Path:
        """The scenario's records."""
        return self.root / "processed_questions" / f"{scenario}.json"

    def review_file(self, scenario: str) -> Path:
        """What a person should look at before the scenario is used."""
        return self.root / "review" / f"{scenario}.json"

    def picture(self, scenario: str, kind: ImageKind, key: str) -> Path:
        """One picture."""
        return self.root / "imgs" / scenario / kind / f"{key}.jpg"

    @property
    def font(self) -> Path | None:
        """ARIAL.TTF, where it lies in the folder or beside it: the authors' checkout has it."""
        # The parent too: in the authors' checkout the font lies above `data/`.
        return find_arial(self.root, self.root.parent)

    def scenarios(self) -> list[str]:
        """The ids of all scenarios that have questions or records here."""
        found = {path.stem for path in (self.root / "processed_questions").glob("*.json")}
        return sorted(found | {path.stem for path in (self.root / "questions").glob("*.txt")})

    def lines(self, scenario: str) -> list[str]:
        """The scenario's questions in the order of their ids; none where only records were given."""
        path = self.lines_file(scenario)
        return path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []

    def records(self, scenario: str) -> dict[str, Record]:
        """The scenario's records as they lie there; none where there is no file yet."""
        path = self.records_file(scenario)
        found = read_json(path) if path.is_file() else {}
        # Asked here, since every step walks over records by id, and a list would fail in the middle of one.
        if not isinstance(found, dict):
            raise DataError(f"{path} holds a {type(found).__name__}, not records by id", "Restore or remove the file.")
        return found

    def questions(self, scenario: Scenario) -> list[Question]:
        """The scenario's records, checked as the main job checks them."""
        if not self.records_file(scenario.id).is_file():
            raise DataError(
                f"there are no records for {scenario.id} in {self.root}",
                "Make them with the steps questions and phrases, or name one that is there: scenario=...",
            )
        return list(MMSafetyBench(root=self.root).questions(scenario))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            DataError: another process works in it.
        """
        import fcntl

        # A file that is never removed: the lock is the system's, so a killed command leaves none behind.
        path = self.root / ".create" / "lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataError(
                    f"another mmsb.create works in {self.root}", "Wait for it, or choose another root=."
                ) from error
            yield


def write_json(path: Path, value: Mapping[str, Any] | list[Any]) -> None:
    """Write a JSON file for people, whole or not at all."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. The folder's lock keeps other writers away."""
    # Its ending keeps a draft that a kill left behind out of whatever counts `*.jpg`.
    draft = path.with_name(f".{path.name}.tmp")
    try:
        draft.write_bytes(data)
    except FileNotFoundError:  # the folder is made with its first file
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
    draft.replace(path)
