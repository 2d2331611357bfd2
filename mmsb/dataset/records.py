"""The authors' files of questions, by strict schemas: every field is a text, every id can become a file name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from mmsb.errors import DataError
from mmsb.schemas import BROKEN

T = TypeVar("T")
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]  # ids become file names


class QuestionRecord(msgspec.Struct, frozen=True):
    """One record of the authors' question files."""

    plain: str = msgspec.field(name="Question")
    changed: str = msgspec.field(name="Changed Question")
    key_phrase: str = msgspec.field(name="Key Phrase")
    phrase_type: str = msgspec.field(name="Phrase Type")
    rephrased: str = msgspec.field(name="Rephrased Question")
    rephrased_sd: str = msgspec.field(name="Rephrased Question(SD)")


class TinyList(msgspec.Struct, frozen=True):
    """One scenario's ids in the authors' list of the tiny subset."""

    scenario: str = msgspec.field(name="Scenario")
    ids: list[int | str] = msgspec.field(name="Sampled_ID_List")


def parse_questions(path: Path) -> dict[str, QuestionRecord]:
    """A file of the authors' questions, by id.

    Raises:
        DataError: missing, broken, or a record lacks a field; names file and record.
    """
    return _file(path, dict[Id, QuestionRecord])


def parse_tiny_list(path: Path) -> list[TinyList]:
    """The authors' list of the tiny subset.

    Raises:
        DataError: missing or broken.
    """
    return _file(path, list[TinyList])


def _file(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "Check dataset.root.") from error
    except BROKEN as error:
        raise DataError(f"{path}: {error}", "Restore the file from its source.") from error
