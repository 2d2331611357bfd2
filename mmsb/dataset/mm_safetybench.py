"""The authors' layout on disk: `processed_questions/{scenario}.json` and `imgs/{scenario}/{SD,TYPO,SD_TYPO}/{id}.jpg`.

One record of a questions file, as it lies there:

    "3": {"Question": ..., "Changed Question": ..., "Key Phrase": ..., "Phrase Type": ...,
          "Rephrased Question": ..., "Rephrased Question(SD)": ...}

Ids are not contiguous in every scenario; records and pictures are matched by id, never by position.
Source: MM-SafetyBench (arXiv 2311.17600). Our own `demo` and `benign` sets use the same layout.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pydantic

from mmsb.config import settings
from mmsb.dataset.base import ImageKind
from mmsb.dataset.question_file import by_number, read_as_json, records
from mmsb.dataset.records import parse_tiny_list
from mmsb.errors import DataError
from mmsb.font import dejavu, find_arial
from mmsb.paths import PACKAGE
from mmsb.picture import FilePicture, Picture
from mmsb.scenario import Scenario
from mmsb.types import KEY_PHRASE, PHRASE_TYPE, PLAIN, Question

TEXTS = {  # a question's wordings by their roles, and what the authors call them
    PLAIN: "Question",
    "changed": "Changed Question",
    "rephrased": "Rephrased Question",
    "rephrased_sd": "Rephrased Question(SD)",
}
METADATA = {KEY_PHRASE: "Key Phrase", PHRASE_TYPE: "Phrase Type"}
FIELDS = (*TEXTS.values(), *METADATA.values())
# No dot and no slash: an id becomes a file's name, and "../" in a foreign file must not.
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
GAPS = "gaps.json"  # {"06-Fraud/3": why}: what a set that was made lacks
TINY_LIST = "TinyVersion_ID_List.json"


@settings
class MMSafetyBench:
    """Questions and pictures in the authors' layout.

    Attributes:
        name: the name for tables.
        root: the folder that holds `processed_questions/` (or a checkout that has it under `data/`).
        subset: "full", or "tiny" for the authors' list of 168 questions.
        limit: at most this many questions per scenario; None for all.
        benign: whether these are harmless questions, where the right behaviour is to answer.
    """

    root: Path
    name: str = "mm_safetybench"
    subset: Literal["full", "tiny"] = "full"
    limit: pydantic.PositiveInt | None = None
    benign: bool = False

    @cached_property
    def folder(self) -> Path:
        """The folder that really holds `processed_questions/`."""
        # Both, since the authors' checkout has its data one folder below.
        for folder in (self.root, self.root / "data"):
            if (folder / "processed_questions").is_dir():
                return folder
        raise DataError(
            f"dataset.root={self.root} has no folder processed_questions/",
            "Set dataset.root to the authors' data/ folder. How to get it: python -m mmsb.create --help",
        )

    def questions(self, scenario: Scenario) -> Iterator[Question]:
        """The scenario's questions, by ascending id."""
        path = self.folder / "processed_questions" / f"{scenario.id}.json"
        # By id and never by row: 05 and 08 have gaps in their ids, and rows would pair questions with others' pictures.
        chosen = self._tiny(scenario, path) if self.subset == "tiny" else records(path)
        # in every mode, also where the text alone would do: modes are compared on the same questions
        whole = ((key, record) for key, record in chosen if f"{scenario.id}/{key}" not in self.gaps)
        for key, record in islice(whole, self.limit):
            yield self._question(key, record, scenario, path)

    def picture(self, question: Question, kind: ImageKind) -> Picture | None:
        """The file `imgs/{scenario}/{kind}/{id}.jpg`, if there is one."""
        name = f"{self._images}/{question.scenario}/{kind}/{question.id}.jpg"
        # None is no error here: typed text can be drawn, and a mode without pictures asks for none.
        return FilePicture(name) if os.path.isfile(name) else None

    @cached_property
    def _images(self) -> str:
        return str(self.folder / "imgs")

    @cached_property
    def gaps(self) -> dict[str, str]:
        """Questions that the set declares it lacks, with the reason: they are left out, in every image mode."""
        path = self.folder / GAPS
        found = read_json(path) if path.is_file() else {}
        if not isinstance(found, dict) or not all(isinstance(why, str) for why in found.values()):
            raise DataError(f"{path} does not hold a reason for each question", "Correct or remove the file.")
        if found:
            print(f"{len(found)} questions are left out, as {path} declares", file=sys.stderr)
        return found

    @cached_property
    def font(self) -> Path | None:
        """ARIAL.TTF, with which the authors typed, where their checkout is at hand; None for the default font."""
        return find_arial(self.folder, self.folder.parent, self.root)

    def _question(self, key: str, record: Any, scenario: Scenario, path: Path) -> Question:
        if not ID.fullmatch(key):  # ids become file names
            raise DataError(f"{path}: {key!r} is not an id", "Ids are letters, digits, '-' and '_'.")
        if not isinstance(record, dict):
            raise DataError(f"{path} has no record {key!r}", "Restore the file from its source.")
        get = record.get
        texts: dict[str, Any] = {ours: get(theirs) for ours, theirs in TEXTS.items()}
        metadata: dict[str, Any] = {ours: get(theirs) for ours, theirs in METADATA.items()}
        # checked where it is read: a missing wording would else be asked as an empty prompt, and answered
        if {*map(type, texts.values()), *map(type, metadata.values())} != {str}:
            lacking = [name for name in FIELDS if not isinstance(get(name), str)]
            raise DataError(
                f"{path}: record {key!r} lacks the text field {', '.join(map(repr, lacking))}",
                f"Each record needs {', '.join(FIELDS)}.",
            )
        # Judges and guards are shown it, whatever the model was: nothing harmful would have been asked.
        if not texts[PLAIN].strip():
            raise DataError(f"{path}: record {key!r} has an empty {TEXTS[PLAIN]}", "Restore the file from its source.")
        return Question(key, scenario.id, texts, metadata, self.benign)

    def _tiny(self, scenario: Scenario, path: Path) -> Iterator[tuple[str, Any]]:
        ids = self._tiny_ids(scenario)
        wanted = set(ids)
        found = {key: record for key, record in records(path) if key in wanted}
        # `get`: an id that has no record is told by name, as a record that is broken.
        return ((key, found.get(key)) for key in sorted(ids, key=by_number))

    def _tiny_ids(self, scenario: Scenario) -> list[str]:
        for folder in (self.folder, self.folder.parent):
            if (folder / TINY_LIST).is_file():
                rows = parse_tiny_list(folder / TINY_LIST)
                return [str(key) for row in rows if row.scenario == scenario.id for key in row.ids]
        raise DataError(
            f"dataset.subset=tiny needs {TINY_LIST} in {self.folder} or beside it",
            "Copy the file from the authors' repository, or use dataset.subset=full dataset.limit=13.",
        )


@settings
class Shipped(MMSafetyBench):
    """A set that comes with the package: `demo` (mild questions) or `benign` (their harmless twins)."""

    name: Literal["demo", "benign"]
    root: Path = PACKAGE / "dataset"

    @cached_property
    def folder(self) -> Path:
        """The set's folder inside the package."""
        return self.root / self.name

    @property
    def font(self) -> Path:
        """DejaVu Sans: the sandbox model `tiny` learnt to read from it."""
        return dejavu()


def question_of(key: str, scenario: Scenario, record: Mapping[str, Any], benign: bool = False) -> Question:
    """A record of the authors' as a question; a text that it lacks is empty."""
    texts = {ours: str(record.get(theirs, "")) for ours, theirs in TEXTS.items()}
    metadata = {ours: str(record.get(theirs, "")) for ours, theirs in METADATA.items()}
    return Question(key, scenario.id, texts, metadata, benign)


def record_of(question: Question) -> dict[str, str]:
    """A question as a record of the authors'; a text that it lacks is empty."""
    texts = {theirs: question.texts.get(ours, "") for ours, theirs in TEXTS.items()}
    return texts | {theirs: question.metadata.get(ours, "") for ours, theirs in METADATA.items()}


def read_json(path: Path) -> Any:
    """Parse a JSON file of a dataset.

    Raises:
        DataError: missing or broken, with the line where it breaks.
    """
    with read_as_json(path):
        return json.loads(path.read_text(encoding="utf-8"))
