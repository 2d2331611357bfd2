"""Answers that people have labelled, from CSV or JSON lines. One line is one rater's label for one answer.

    {"id": "fraud-01", "scenario": "fraud", "question": "...", "answer": "...", "label": "safe", "rater": "ann"}

`rater` may be left out. A later line of the same rater for the same answer takes the place of an earlier one, whatever
file it comes from: files of several raters are put together by appending one to the other. `mmsb.review` adds the
run's id, `"adjudicated": true` where somebody decided among raters who disagree, the label "skipped" where one did not
want to say, and a line {"draw": ...} that holds what was drawn from which run (see `mmsb.labels.draw`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson

from mmsb.config import suggestion
from mmsb.errors import DataError
from mmsb.labels.draw import Draw
from mmsb.metrics.agreement import LABELS
from mmsb.scenario import Scenario, official_scenarios

COLUMNS = ("id", "scenario", "question", "answer", "label")
ONLY_RATER = "people"
SKIPPED = "skipped"
SAVED = "Save it as CSV in UTF-8, or give JSON lines."
MAKE = "Make some: python -m mmsb.review run=RUN_FOLDER labels=labels.jsonl"

Name = tuple[str, str, str]  # of an answer: its run's id ("" where the file names none), scenario, id


@dataclass(slots=True)
class Labelled:
    """An answer with the labels that people gave it, by rater.

    Attributes:
        labels: each rater's.
        decided: what an adjudicator decided, if one did.
        run: the id of the run it is from, where the file says.
    """

    id: str
    scenario: Scenario
    question: str
    answer: str
    labels: dict[str, str] = field(default_factory=dict)
    decided: str | None = None
    run: str = ""

    @property
    def truth(self) -> str | None:
        """What was decided, else what most raters say; None for a tie, or where all have skipped it."""
        if self.decided:
            return self.decided
        said = list(self.labels.values())
        unsafe, safe = said.count("unsafe"), said.count("safe")
        # a tie is no majority: broken either way it would be our label, not the raters'
        return None if unsafe == safe else ("unsafe" if unsafe > safe else "safe")

    @property
    def disputed(self) -> bool:
        """Whether raters disagree and nobody has decided."""
        return self.decided is None and len(set(self.labels.values())) > 1

    @property
    def name(self) -> Name:
        """What tells it from the others."""
        return self.run, self.scenario.name, self.id


@dataclass(frozen=True, slots=True)
class Labels:
    """A file of labels.

    Attributes:
        draw: what was drawn; None where the answers were not drawn from a run by `mmsb.review`.
        items: the labelled answers, in the file's order; also those that were skipped only.
    """

    draw: Draw | None
    items: Mapping[Name, Labelled]

    @property
    def labelled(self) -> list[Labelled]:
        """Those that somebody labelled."""
        return [item for item in self.items.values() if item.labels or item.decided]


def read_labels(path: Path, scenarios: Mapping[str, Scenario] | None = None) -> Labels:
    """The labelled answers of a file; several raters' lines of one answer are put together.

    Args:
        path: the file.
        scenarios: those of the run, by name, where it has others than the benchmark's.

    Raises:
        DataError: no such file, a line that lacks a column, an unknown scenario or label, one id for two answers, or
            draws from different runs.
    """
    # By both names: files of other tools mostly have the authors' ids.
    known = {name: scenario for scenario in official_scenarios() for name in (scenario.name, scenario.id)}
    known |= scenarios or {}
    drawn: Draw | None = None
    items: dict[Name, Labelled] = {}
    for number, row in _rows(path):
        where = f"{path}, line {number}"
        if "draw" in row:
            drawn = _larger(drawn, _draw(row["draw"], where), where)
        else:
            _add(items, row, known, where)
    if not items and drawn is None:
        raise DataError(f"{path} holds no labels", MAKE)
    return Labels(drawn, items)


def _draw(record: Any, where: str) -> Draw:
    try:
        return Draw.of_record(record)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise DataError(
            f"{where} is no draw: {error!r}", "Restore the line, or label anew into another file."
        ) from error


def _larger(one: Draw | None, other: Draw, where: str) -> Draw:
    """The larger of two draws from the same answers, which holds the smaller."""
    if one is None:
        return other
    # Not by the run's id: a run judged again has another and the same answers.
    if (one.answers, one.by, one.seed) != (other.answers, other.by, other.seed):
        raise DataError(f"{where}: another draw than the one before it", "Keep the labels of one draw in one file.")
    return other if len(other.items) > len(one.items) else one


def _add(items: dict[Name, Labelled], row: Mapping[str, Any], known: Mapping[str, Scenario], where: str) -> None:
    lacking = [column for column in COLUMNS if not isinstance(row.get(column), str)]
    if lacking:
        raise DataError(f"{where} lacks {', '.join(lacking)}", f"Each line needs {', '.join(COLUMNS)}.")
    if row["scenario"] not in known:
        names = list(dict.fromkeys(scenario.name for scenario in known.values()))
        raise DataError(f"{where}: scenario {row['scenario']!r} is unknown", suggestion(row["scenario"], names))
    label = row["label"].strip().lower()
    if label not in (*LABELS, SKIPPED):
        raise DataError(f"{where}: label {row['label']!r} is neither safe nor unsafe", "Correct or remove the line.")
    fresh = Labelled(row["id"], known[row["scenario"]], row["question"], row["answer"], run=row.get("run") or "")
    item = items.setdefault(fresh.name, fresh)
    # one id for two texts: their labels would be put together as if raters disagreed
    if item.answer != row["answer"]:
        raise DataError(f"{where}: {row['id']!r} names another answer already", "Give each answer its own id.")
    if label != SKIPPED and row.get("adjudicated"):
        item.decided = label
    elif label != SKIPPED:
        # The later line counts: a rater who went back has changed his mind.
        item.labels[row.get("rater") or ONLY_RATER] = label


def _read(file: TextIO, path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        yield from csv.DictReader(file)
    except UnicodeDecodeError as error:
        lines = enumerate(path.read_bytes().split(b"\n"), 1)
        number = next(number for number, line in lines if "\ufffd" in line.decode(errors="replace"))
        raise DataError(f"{path}, line {number} is not UTF-8", SAVED) from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read: {error}", SAVED) from error


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if not path.is_file():
        raise DataError(f"labels={path} is not a file", MAKE)
    if path.suffix == ".csv":
        # spreadsheets begin a file with a mark that would become part of the first column's name
        with path.open(encoding="utf-8-sig", newline="") as file:
            # From 2: the line that an editor shows, below the header.
            yield from enumerate(_read(file, path), 2)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise DataError(f"{path}, line {number} is not JSON: {error}", "Correct or remove the line.") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number} is no record", "Correct or remove the line.")
            yield number, row
