"""Rows of several runs as one table: every row says by itself which run, model, mode, defense and judge it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from mmsb.errors import MmsbError
from mmsb.picture import MEDIA_TYPES
from mmsb.report.columns import Column
from mmsb.report.pictures import Recorded, original
from mmsb.results import read_rows

ENDINGS = {media: name.lower() for name, media in MEDIA_TYPES.items()}
ASKED = ("id", "scenario", "question_id", "question", "key_phrase", "prompt", "system", "image")
TEXTS = (*ASKED, "outcome", "response", "finish", "label", "judge_reply", "cause", "message")
FLAGS = ("benign", "refusal", "comprehended", "correct")
COUNTS = ("repeat", "input_tokens", "output_tokens", "calls")
NESTED = ("flags", "steps", "judge_details")


def rows(columns: Sequence[Column], folder: Path) -> Iterator[dict[str, Any]]:
    """Every row of the runs, flat; pictures are written into `folder`/pictures, each distinct one once.

    Yields:
        The run's label and facets, the row's own values (None where it has none; nested ones as JSON), and `picture`:
        the picture's path in `folder`, None where it was without one or its dataset is not there any more.
    """
    for column in columns:
        run = Recorded(column.run.folder, values=column.run.values)
        for row in read_rows(column.rows):
            yield _flat(column, row) | {"picture": picture_file(run, row, folder)}


def values_of(column: Column) -> Iterator[dict[str, Any]]:
    """The same of one run, without pictures."""
    return (_flat(column, row) for row in read_rows(column.rows))


def _flat(column: Column, row: dict[str, Any]) -> dict[str, Any]:
    # Every row by itself: who filters and joins such a table has lost which file it came from.
    found: dict[str, Any] = {"run": column.label, "folder": str(column.run.folder), **column.facets}
    found |= {key: row.get(key) for key in (*TEXTS, *FLAGS, *COUNTS, "score")}
    # As JSON: CSV has no lists, and Parquet wants one type for all of a column.
    return found | {key: orjson.dumps(row.get(key) or []).decode() for key in NESTED}


def picture_file(run: Recorded, row: dict[str, Any], folder: Path) -> str | None:
    """Write a row's picture into `folder`/pictures, as the model was shown it, and return its path in `folder`."""
    identity = row["image"]
    # It becomes a file's name, and the row may come from another's machine.
    if not isinstance(identity, str) or not identity.isalnum():
        return None
    (folder / "pictures").mkdir(exist_ok=True)
    for known in (folder / "pictures").glob(f"{identity}.*"):
        return known.relative_to(folder).as_posix()
    try:
        picture = original(run, row)
        if picture is None:
            return None
        data, media = picture.encoded()
    # The table is worth having without: results outlive their dataset.
    except MmsbError:
        return None
    path = folder / "pictures" / f"{identity}.{ENDINGS[media]}"
    path.write_bytes(data)
    return path.relative_to(folder).as_posix()
