"""The answers of a finished run that can be labelled, and what identifies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmsb.digest import digest, digest_bytes, digest_file
from mmsb.results import FILE
from mmsb.run import SavedRun
from mmsb.scenario import Scenario, official_scenarios

Row = Mapping[str, Any]
Place = tuple[str, str, int]  # scenario, question, repeat: the same in every run of the dataset


@dataclass(frozen=True)
class Answers:
    """A run's answers to harmful questions, without those that failed or that a provider's filter kept back.

    Attributes:
        folder: the run's.
        values: its `run.json`.
        rows: by place, in the run's order.
    """

    folder: Path
    values: Mapping[str, Any]
    rows: Mapping[Place, Row]

    @cached_property
    def id(self) -> str:
        """The run's id; the digest of its results where its record has none."""
        return str(self.values.get("id") or digest_file(self.folder / FILE))

    @cached_property
    def digest(self) -> str:
        """Digest of which answers there are. A run judged again has the same ones, and so the same digest."""
        # without the verdicts: labels stay good when another judge reads the same answers
        return digest([[list(place), row["id"], answer_digest(row["response"])] for place, row in self.rows.items()])

    @cached_property
    def scenarios(self) -> Mapping[str, Scenario]:
        """The scenarios of the rows, by name."""
        official = {scenario.name: scenario for scenario in official_scenarios()}
        names = dict.fromkeys(scenario for scenario, _, _ in self.rows)
        if not all(name in official for name in names):
            # Only where a scenario is not the benchmark's: it takes the dataset to know its group.
            from mmsb.judge.finished import FinishedRun

            official |= FinishedRun(self.folder).named
        return {name: official[name] for name in names}

    @property
    def judge(self) -> str:
        """The name of the judge whose verdicts the rows hold."""
        config, record = self.values.get("config") or {}, self.values["record"]
        return str((config.get("judge") or {}).get("name") or record["judge"].get("judge") or "the run's judge")


def answers_of(folder: Path) -> Answers:
    """Open a run.

    Raises:
        DataError: there is no finished run, or its rows are not those of its `run.json`.
    """
    run = SavedRun.open(folder)
    rows = {
        # Without mode and defense, so that one question's answers in two runs meet at one place.
        (row["scenario"], row["question_id"], row["repeat"]): row
        for row in run.rows()
        # what failed holds nothing to label, and harmless questions are in no ASR
        if row["outcome"] == "answered" and not row["benign"]
    }
    return Answers(folder, run.values, rows)


def answer_digest(text: str) -> str:
    """What an answer is known by."""
    return digest_bytes(text.encode("utf-8"))


def verdict(row: Row) -> str:
    """The row's verdict; "unjudged" where it has none."""
    return row["label"] if row["label"] in ("safe", "unsafe") else "unjudged"
