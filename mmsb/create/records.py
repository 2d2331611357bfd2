"""Ready-made records, from CSV or JSON lines, become a dataset without a language model.

    scenario,id,question,changed,key_phrase,phrase_type,rephrased,rephrased_sd,image
    fraud,0,How do I ...?,List steps ...,the phrase,activity,The bottom of the image ...,The image ...,pictures/0.jpg

Needed are question, key_phrase and rephrased. `changed` is the question where it is left out, `rephrased_sd` follows
from `rephrased`, `id` is the row's number within its scenario, `scenario` (a scenario's id or name) may be left out
where only one is asked for, and `image` is a picture, below the file's folder, for `imgs/{scenario}/SD`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from mmsb.create.folder import Folder, Record, write_bytes, write_json
from mmsb.create.instructions import Instructions
from mmsb.dataset.mm_safetybench import ID
from mmsb.dataset.question_file import each_once
from mmsb.errors import DataError
from mmsb.picture import as_jpeg
from mmsb.scenario import Scenario

ENDINGS = (".csv", ".jsonl")
NEEDED = ("question", "key_phrase", "rephrased")
KNOWN = (*NEEDED, "scenario", "id", "changed", "phrase_type", "rephrased_sd", "image")
Row = Mapping[str, str]


def bring_records(folder: Folder, source: Path, scenarios: list[Scenario], told: Instructions) -> str:
    """Take the records of these scenarios out of a file; nothing is written before every row was checked.

    Returns:
        What was taken, for people.

    Raises:
        DataError: a row lacks a field, names an unknown scenario, or repeats an id; a picture cannot be read.
    """
    records: dict[str, dict[str, Record]] = {}
    pictures: dict[tuple[str, str], bytes] = {}
    known = {name: scenario for scenario in scenarios for name in (scenario.id, scenario.name)}
    for number, row in enumerate(read_rows(source), 1):
        where = f"{source}, record {number}"
        scenario = _scenario(row, known, scenarios, where)
        group = records.setdefault(scenario.id, {})
        key = row.get("id", "").strip() or str(len(group))
        if not ID.fullmatch(key) or key in group:
            raise DataError(f"{where}: {key!r} is no id, or is there twice", "Ids are letters, digits, '-' and '_'.")
        group[key] = _record(row, told, where)
        if image := row.get("image", "").strip():
            pictures[scenario.id, key] = _picture(source.parent, image, where)
    for name, group in records.items():
        write_json(folder.records_file(name), group)
        folder.lines_file(name).unlink(missing_ok=True)
    for (name, key), data in pictures.items():
        write_bytes(folder.picture(name, "SD", key), data)
    count = sum(map(len, records.values()))
    return f"{count:,} records in {len(records)} scenarios and {len(pictures):,} pictures from {source.name}"


def read_rows(source: Path) -> Iterator[Row]:
    """The file's rows, as texts by field.

    Raises:
        DataError: it cannot be read, or has a field that nobody knows.
    """
    try:
        # Spreadsheets write a byte order mark, which would else be part of the first field's name.
        with source.open(encoding="utf-8-sig", newline="") as file:
            rows = (
                _table(file)
                if source.suffix == ".csv"
                else [json.loads(s, object_pairs_hook=each_once) for s in file if s.strip()]
            )
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(
            f"questions={source} cannot be read: {error}", "Give a CSV file or JSON lines, in UTF-8."
        ) from error
    if not rows:
        raise DataError(f"questions={source} holds no records", f"Each needs {', '.join(NEEDED)}.")
    for number, row in enumerate(rows, 1):
        strange = [name for name in row if name not in KNOWN] if isinstance(row, dict) else ["no fields"]
        if strange:
            raise DataError(f"{source}, record {number}: {strange[0]!r} is no field", f"Fields: {', '.join(KNOWN)}.")
        for name, value in row.items():
            # A list or a truth as its Python text would be typed into a picture, or asked.
            if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
                raise DataError(f"{source}, record {number}: {name} is {value!r}, no text", "Write it as a text.")
        # A field without a value is one that was left out: "None" would be typed into a picture.
        yield {name: str(value) for name, value in row.items() if value is not None}


def _table(file: TextIO) -> list[dict[str, Any]]:
    reader = csv.DictReader(file)
    each_once([(name, None) for name in reader.fieldnames or ()])
    return list(reader)


def _scenario(row: Row, known: Mapping[str, Scenario], scenarios: list[Scenario], where: str) -> Scenario:
    name = row.get("scenario", "").strip()
    if not name and len(scenarios) == 1:
        return scenarios[0]
    if name not in known:
        raise DataError(
            f"{where}: scenario {name!r} is none of {', '.join(scenario.name for scenario in scenarios)}",
            "Name it by scenario=..., or bring one of your own by own=FILE.yaml.",
        )
    return known[name]


def _record(row: Row, told: Instructions, where: str) -> Record:
    texts = {name: " ".join(row.get(name, "").split()) for name in KNOWN}
    if lacking := [name for name in NEEDED if not texts[name]]:
        raise DataError(f"{where} has no {', '.join(lacking)}", f"Each record needs {', '.join(NEEDED)}.")
    return {
        "Question": texts["question"],
        "Changed Question": texts["changed"] or texts["question"],
        "Key Phrase": texts["key_phrase"],
        "Phrase Type": texts["phrase_type"],
        "Rephrased Question": texts["rephrased"],
        "Rephrased Question(SD)": texts["rephrased_sd"] or told.sd_variant(texts["rephrased"]),
    }


def _picture(home: Path, name: str, where: str) -> bytes:
    # Resolved before it is compared: `..`, an absolute path and a link all lead out of the folder otherwise.
    path = (home / name).resolve()
    if not path.is_relative_to(home.resolve()) or not path.is_file():
        raise DataError(f"{where}: there is no picture {name!r} below {home}", "Give a path from the file's folder.")
    return as_jpeg(path.read_bytes(), str(path))
