"""One sitting of labelling: what is open, what is stored, and what has been reached.

The judge's verdict is never shown, nor, of two runs, which one an answer is from. Every label is on disk before the
next answer is shown; started again, it goes on.
"""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal

import orjson
import pydantic

from mmsb.config import settings
from mmsb.errors import ConfigError, DataError
from mmsb.labels.answers import Answers, Row, answers_of
from mmsb.labels.draw import By, Draw, draw, tasks
from mmsb.labels.file import SKIPPED, Labels, read_labels
from mmsb.labels.sample import check, labels_wanted, weights
from mmsb.metrics.agreement import pairwise


@dataclass(frozen=True, slots=True)
class Task:
    """An answer that is shown.

    Attributes:
        run: the run it is from.
        id: what the draw calls that run.
        row: its row.
        votes: the labels that others gave it, where somebody is to decide.
    """

    run: Answers
    id: str
    row: Row
    votes: tuple[str, ...] = ()

    @property
    def name(self) -> tuple[str, str, str]:
        """What tells it from the others in a file of labels."""
        return self.id, self.row["scenario"], self.row["id"]


@settings
class Review:
    """Settings of labelling.

    Attributes:
        run: the folder of a finished run.
        other: another run, to label the same questions in both: for a difference.
        labels: the file of labels (JSON lines); begun, or gone on with.
        size: how many questions to draw; more than before adds to those drawn before.
        by: "random", or "cells": from every scenario and verdict.
        seed: of the draw.
        rater: your name in the file; None for the login name.
        adjudicate: decide where raters disagree.
        pictures: "path" shows where a question's picture lies, "open" opens it as well, "none" neither.
        points: the half width, in points, for which it is said how many labels are wanted.
    """

    run: Path
    other: Path | None = None
    labels: Path
    size: pydantic.PositiveInt = 200
    by: By = "random"
    seed: int = 0
    rater: str | None = None
    adjudicate: bool = False
    pictures: Literal["path", "open", "none"] = "path"
    points: pydantic.PositiveFloat = 3.0
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    @cached_property
    def who(self) -> str:
        """The rater's name."""
        return self.rater or getpass.getuser()

    @cached_property
    def runs(self) -> tuple[Answers, ...]:
        """The runs.

        Raises:
            DataError: a folder holds no finished run.
        """
        return tuple(answers_of(folder) for folder in (self.run, self.other) if folder is not None)

    def run_and_print(self) -> None:
        """Show the open answers one by one and store a label for each key.

        Raises:
            MmsbError: no finished run, no terminal, or labels that are not of this run.
        """
        from mmsb.review.terminal import label_all

        drawn = self.drawn()
        open_tasks = self.open(drawn)
        total = len(drawn.items) * len(drawn.runs)
        if self.adjudicate:
            print(f"{len(open_tasks)} answers on which raters disagree are to be decided")
        else:
            print(f"{total} answers drawn, {total - len(open_tasks)} labelled by {self.who} already")
        with appending(self.labels) as file:
            made = label_all(open_tasks, self.pictures, self.output_dir, lambda t, label: self.store(file, t, label))
        print(f"{made} labels written to {self.labels}")
        for line in self.reached():
            print(line)

    def drawn(self) -> Draw:
        """The draw: the file's, or a new one that is written there.

        Raises:
            DataError: the file holds labels of something else.
            ConfigError: it holds a draw made otherwise.
        """
        # first: a torn line would make the whole file unreadable, and hours of labels with it
        mend(self.labels)
        known = self.known()
        wanted = draw(self.runs, self.size, self.by, self.seed)
        if known and known.draw is None:
            raise DataError(f"{self.labels} holds labels that were not drawn from this run", "Name another file.")
        if known and known.draw:
            check(known, self.runs, self.labels)
            # two draws have no common probabilities, and their labels could never be weighed together
            if (known.draw.by, known.draw.seed) != (self.by, self.seed):
                told = f"by={known.draw.by} seed={known.draw.seed}"
                raise ConfigError(f"{self.labels} was drawn with {told}", f"Add {told}, or name another file.")
            # never fewer than before: the labels beyond a smaller size would no longer be of the sample
            if len(known.draw.items) >= len(wanted.items):
                return known.draw
        if self.adjudicate:
            raise DataError(f"{self.labels} holds no labels to decide on", "Leave adjudicate=true out to make some.")
        with appending(self.labels) as file:
            write(file, {"draw": wanted.record()})
        return wanted

    def known(self) -> Labels | None:
        """What the file holds; None where there is nothing yet."""
        if not self.labels.exists() or not self.labels.stat().st_size:
            return None
        return read_labels(self.labels, self.runs[0].scenarios)

    def open(self, drawn: Draw) -> list[Task]:
        """What is to be labelled, or decided, in the order of the draw.

        Raises:
            ConfigError: who is to decide has labelled these answers.
        """
        known = self.known()
        items = known.items if known else {}
        all_tasks = [
            Task(self.runs[number], drawn.runs[number], self.runs[number].rows[item.place])
            for item, number in tasks(drawn)
        ]
        if not self.adjudicate:
            return [t for t in all_tasks if t.name not in items or self.who not in items[t.name].labels]
        disputed = [(t, items[t.name]) for t in all_tasks if t.name in items and items[t.name].disputed]
        # who took part in the disagreement would only vote twice
        if any(self.who in item.labels for _, item in disputed):
            raise ConfigError(
                f"rater={self.who} labelled answers that are to be decided",
                "Let somebody else decide; if you decide together, rater=together.",
            )
        return [replace(t, votes=tuple(sorted(item.labels.values()))) for t, item in disputed]

    def store(self, file: BinaryIO, task: Task, label: str | None) -> None:
        """Append a label (None: skipped) and see it onto the disk; a later line takes the place of an earlier one."""
        row = task.row
        # with the texts: the file can be read, and held against the run, by itself
        kept = {"id": row["id"], "scenario": row["scenario"], "question": row["question"], "answer": row["response"]}
        decided = {"adjudicated": True} if self.adjudicate else {}
        write(file, {**kept, "run": task.id, "label": label or SKIPPED, "rater": self.who, **decided})

    def reached(self) -> Iterator[str]:
        """What the labels of all raters come to: their agreement, and how many more are wanted."""
        known = self.known()
        if known is None or not known.labelled:
            return
        raters: dict[str, dict[str, str]] = {}
        for item in known.labelled:
            for rater, label in item.labels.items():
                raters.setdefault(rater, {})["/".join(item.name)] = label
        stand_for = {"/".join(name): weight for name, weight in weights(known).items()}
        for (one, other), rate in pairwise(raters, stand_for).items():
            told = f"kappa {rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}] on {rate.n}" if rate else "no kappa yet"
            yield f"{one} and {other}: {told}"
        if disputed := sum(item.disputed for item in known.labelled):
            yield f"{disputed} answers on which raters disagree are to be decided: adjudicate=true rater=..."
        yield labels_wanted(known, self.runs, self.points / 100)
        runs = shlex.join(f"{key}={run.folder}" for key, run in zip(("run", "other"), self.runs, strict=False))
        labels = shlex.quote(f"labels={self.labels}")
        yield f"What they say: python -m mmsb.calibrate {labels} {runs}"


def write(file: BinaryIO, record: dict[str, object]) -> None:
    """Append one line, whole and onto the disk."""
    file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    file.flush()
    # a label costs a person half a minute; a power cut must cost none
    os.fsync(file.fileno())


def mend(path: Path) -> None:
    """Cut off a torn last line (a power cut): it was never a label."""
    if path.exists() and not (data := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


@contextmanager
def appending(path: Path) -> Iterator[BinaryIO]:
    """The file of labels, to append to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield file
