"""A file of questions: a JSON object of records by id, read one record after the other.

    {"0": {"Question": ...}, "1": {"Question": ...}, ...}

What it takes in memory does not grow with the file: one scenario of a large set has a file of 40 MB, which takes 130
MB once it is parsed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmsb.errors import DataError

CHUNK = 65_536  # letters that are read at a time
BLANKS = " \t\n\r"


def by_number(key: str) -> tuple[int, str]:
    """Order of ids: numbers by value, anything else after them."""
    # as text 10 would come before 2, and limit= would take other questions than its reader thinks
    return (int(key), key) if key.isdecimal() else (1 << 62, key)


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are distinct. A parser keeps the last of two: a question would be gone, and nobody told.

    Raises:
        ValueError: naming the key that is there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice!r} is there twice")
    return found


@contextmanager
def read_as_json(path: Path) -> Iterator[None]:
    """Say of a file what is wrong with it.

    Raises:
        DataError: it is missing, or no JSON.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}", "Check dataset.root and the scenario's name.") from error
    except (ValueError, RecursionError) as error:  # not only what the parser calls its own: numbers of 5,000 digits
        raise DataError(f"{path} is not valid JSON: {error}", "Restore the file from its source.") from error


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """Ids and records, by ascending id.

    Raises:
        DataError: the file is missing or broken, with the line where it breaks; an id is there twice.
    """
    with read_as_json(path):
        found = os.stat(path)
        # The authors' files and ours are in that order. Any other is read whole.
        if _ascends(path, found.st_ino, found.st_size, found.st_ctime_ns):
            yield from _members(path)
        else:
            yield from sorted(each_once(list(_members(path))).items(), key=lambda one: by_number(one[0]))


@lru_cache(maxsize=1024)
def _ascends(path: Path, *state: int) -> bool:
    """Whether each id is greater than the one before it; `state` tells the file from what it was before."""
    return all(before < after for before, after in pairwise(by_number(key) for key, _ in _members(path)))


def _members(path: Path) -> Iterator[tuple[str, Any]]:
    """The members of the object in a file, in their order there."""
    with path.open(encoding="utf-8") as file:
        text, lines, first = file.read(CHUNK), 0, True
        if not text.lstrip(BLANKS).startswith("{"):
            found = json.loads(text + file.read())
            raise DataError(f"{path} holds a {type(found).__name__}, not records by id", "Restore the file.")
        # As much again as there is already, so that a long record is not begun anew too often.
        while more := file.read(max(CHUNK, len(text))):
            text += more
            end = text.rfind("},") + 1
            if members := _object(text[:end] + "}"):
                yield from members.items()
                lines += text.count("\n", 0, end)
                text, first = "{" + text[end + 1 :], False
        try:
            members = _decode(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{error.msg}: line {lines + error.lineno}") from error
        if not members and not first:
            raise ValueError(f"Illegal trailing comma before end of object: line {lines + 1}")
        yield from members.items()


_decode: Callable[[str], dict[str, Any]] = json.JSONDecoder(object_pairs_hook=each_once).decode


def _object(text: str) -> dict[str, Any] | None:
    """An object; None where the text was cut in another place than between two members of it."""
    try:
        return _decode(text)
    except json.JSONDecodeError:
        return None
