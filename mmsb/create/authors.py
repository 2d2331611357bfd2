"""The authors' records, known by digests: which text belongs to which id. Their text itself is not shipped.

`authors.json` holds {scenario: {id: six digests of six hex digits, one for each field in the order of `FIELDS`}},
made by tools/digest_authors.py from the authors' question files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mmsb.digest import digest_bytes

# The order is the file's format: a digest is found by its place. `GPT-Pred` is left out, since no evaluation reads it.
FIELDS = (
    "Question",
    "Changed Question",
    "Key Phrase",
    "Phrase Type",
    "Rephrased Question",
    "Rephrased Question(SD)",
)
FILE = Path(__file__).with_name("authors.json")
# 24 bits a field tell which field was edited; a whole record is told by 144. Short, so that all 1,680 fit in 78 KB.
DIGITS = 6


def record_digest(record: Mapping[str, str]) -> str:
    """The digests of a record's fields, one after the other."""
    return "".join(digest_bytes(record[field].encode())[:DIGITS] for field in FIELDS)


@cache
def published(scenario: str) -> Mapping[str, str]:
    """The digests of a scenario's records, by id; none for a scenario that is not the benchmark's."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text())
    return found.get(scenario, {})


def departures(scenario: str, records: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Where records leave the authors': by id, in words.

    A scenario none of whose records is theirs is a set of its own under the benchmark's name, and leaves nothing.
    """
    known = published(scenario)
    mine = {key: record_digest(record) for key, record in records.items()}
    question = {key: value[:DIGITS] for key, value in known.items()}
    # Half, not all: one edited record must not make a copy of the authors' set look like a set of one's own.
    if sum(value in known.values() for value in mine.values()) < max(1, len(mine) / 2):
        return {}
    found = {}
    for key, value in mine.items():
        if value == known.get(key):
            continue
        if value in known.values():
            # Several, since scenario 08 repeats 19 of its questions.
            theirs = ", ".join(sorted(k for k, v in known.items() if v == value))
            found[key] = f"is the authors' record {theirs}"
        elif value[:DIGITS] == question.get(key):
            edited = [field for n, field in enumerate(FIELDS) if _part(value, n) != _part(known[key], n)]
            found[key] = f"has another {', '.join(edited)} than the authors'"
        else:
            found[key] = "is none of the authors'"
    return found


def _part(value: str, number: int) -> str:
    return value[number * DIGITS : (number + 1) * DIGITS]
