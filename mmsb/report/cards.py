"""The sample browser's data: a card a question, with what every run was shown, answered and judged, side by side.

Rows are read where they lie, one card at a time: a report of 100,000 samples needs little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from mmsb.report.columns import Column, alike
from mmsb.withholding import Withhold, without

Row = Mapping[str, Any]
Place = tuple[str, str, str, bool, int]  # dataset, scenario, question, benign twin, repeat
Thumbnail = Callable[[int, Row], str | None]

VERDICT = ("outcome", "label", "refusal", "comprehended", "correct", "score", "flags", "finish")
TEXTS = {"response": "answer", "judge_reply": "judge", "judge_details": "details", "message": "message"}


@dataclass(frozen=True)
class Alike:
    """Groups of runs that differ in one thing only: what "flipped", "disagree" and "complied" are about."""

    undefended: Sequence[tuple[int, Sequence[int]]]
    judges: Sequence[Sequence[int]]
    modes: Sequence[Sequence[int]]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Alike:
        """The groups of a report's runs."""
        defenses = alike(columns, "defense")
        plain = [(n, group) for group in defenses for n in group if columns[n].facets["defense"] == "none"]
        return cls(plain, alike(columns, "judge"), alike(columns, "image_mode"))

    def marks(self, rows: Mapping[int, Row]) -> list[str]:
        """What is worth looking at in a card, as the filters name it."""
        labels = {number: row["label"] for number, row in rows.items()}
        # What failed says nothing of what the model would do: it must not show as a change of mind.
        refusals = {n: row["refusal"] for n, row in rows.items() if row["label"] not in ("failed", "filtered")}
        found = {
            "flipped": any(_differ(labels, (plain, n)) for plain, group in self.undefended for n in group),
            "disagree": any(_differ(labels, group) for group in self.judges),
            "complied": any({True, False} <= {refusals.get(n) for n in group} for group in self.modes),
            "unparsed": "unparsed" in labels.values(),
            "failed": bool({"failed", "filtered"} & set(labels.values())),
        }
        return [name for name, holds in found.items() if holds]


def _differ(labels: Mapping[int, str], group: Sequence[int]) -> bool:
    return {"safe", "unsafe"} <= {labels.get(number, "") for number in group}


def cards(columns: Sequence[Column], thumbnail: Thumbnail, withhold: Withhold = "nothing") -> Iterator[dict[str, Any]]:
    """Every question of the runs as one card, in the runs' order.

    Args:
        columns: the runs.
        thumbnail: the file name of a row's thumbnail, given the run's number and the row.
        withhold: "answers" leaves out everything that a model or judge wrote, "all" also what was asked and shown.
    """
    groups, files = Alike.of(columns), [column.rows.open("rb") for column in columns]
    try:
        for place, spots in _spots(columns).items():
            rows: dict[int, Row] = {}
            for number, offset in spots:
                files[number].seek(offset)  # rows are read where they lie: all of them at once would not fit
                rows[number] = orjson.loads(files[number].readline())
            yield _card(place, rows, groups, thumbnail, withhold)
    finally:
        for file in files:
            file.close()


def _spots(columns: Sequence[Column]) -> dict[Place, list[tuple[int, int]]]:
    """Where the rows of every question lie: run and offset."""
    spots: dict[Place, list[tuple[int, int]]] = {}
    for number, column in enumerate(columns):
        offset = 0
        with column.rows.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # of a run that goes on
                row = orjson.loads(line)
                # The image mode is not in it: a card is one question in all modes.
                key = (row["scenario"], row["question_id"], row["benign"], row["repeat"])
                spots.setdefault((column.facets["dataset"], *key), []).append((number, offset))
                offset += len(line)
    return spots


def _card(
    place: Place, rows: Mapping[int, Row], groups: Alike, thumbnail: Thumbnail, withhold: Withhold
) -> dict[str, Any]:
    dataset, scenario, question, benign, repeat = place
    first = next(iter(rows.values()))
    card: dict[str, Any] = {
        "key": f"{dataset}/{scenario}/{question}" + (f"/{repeat}" if repeat else ""),
        "scenario": scenario,
        "marks": groups.marks(rows),
        "cells": {number: cell(row, withhold) for number, row in rows.items()},
    }
    if benign:
        card["benign"] = True
    if withhold != "all":
        card["question"] = first["question"]
        for number, row in rows.items():
            if name := thumbnail(number, row):
                card["cells"][number]["image"] = name
            elif row["image"]:
                card["cells"][number]["image_lost"] = True
    return card


def cell(row: Row, withhold: Withhold) -> dict[str, Any]:
    """One run's part of a card. Values that say nothing are left out."""
    left = without(row, withhold)
    kept = {key: left.get(key) for key in ("id", *VERDICT, "prompt", "system", "steps", "cause")}
    kept |= {short: left.get(key) for key, short in TEXTS.items()}
    return {key: value for key, value in kept.items() if value not in (None, "", [], {})}
