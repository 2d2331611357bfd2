"""What the loop of a run notes on its way: what was shown, scores, labels, failures, and the price."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsb.bill import Bill
from mmsb.cost import Costs
from mmsb.defense.base import UNREADABLE
from mmsb.errors import ModelError
from mmsb.metrics.score import Score, Scores
from mmsb.prices import money
from mmsb.results import FILE, Results
from mmsb.types import Failure, Response, Result, Sample

TOTALS = ("calls", "input_tokens", "output_tokens", "seconds")


@dataclass
class Notes:
    """What the loop notes on its way: how many samples there are, a digest of what was asked, and the price.

    Of a sample that is finished no more than its score stays in memory.
    """

    count: int = 0
    questions: Counter[str] = field(default_factory=Counter)  # by scenario, whatever repeats there are
    shown: Any = field(default_factory=hashlib.sha256)
    scores: Scores = field(default_factory=Scores)
    labels: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*TOTALS, "unreadable_checks"), 0))
    costs: Costs = field(default_factory=Costs)

    def so_far(self, bill: Bill | None) -> Iterator[str]:
        """What a progress line says beside how far it is; of money what is spent now, not what the store saved."""
        # Over what was rated: answers that are missing would pull a share of all towards nought.
        if rated := self.labels["safe"] + self.labels["unsafe"]:
            yield f"ASR {100 * self.labels['unsafe'] / rated:.1f} %"
        if self.failures:
            yield f"{len(self.failures)} failed"
        if bill and (spent := bill.dollars):
            yield money(spent)

    def failed(self, folder: Path) -> ModelError:
        """What to say when some samples failed; there must be one."""
        name, failure = self.failures[0]
        return ModelError(
            f"{len(self.failures)} of {self.count} samples failed, e.g. {name}: {failure.cause}: {failure.message}",
            f"They are listed in {folder / FILE} and in no rate. The same command asks only them again.",
        )


def noting(samples: Iterator[Sample], noted: Notes, results: Results) -> Iterator[Sample]:
    """Pass the samples on, noting their order and what they show."""
    for sample in samples:
        results.expect(sample.id)
        noted.count += 1
        noted.questions[sample.question.scenario] += not sample.prompt.repeat
        # the key holds text, picture and settings: two runs with one digest asked the very same
        noted.shown.update(sample.prompt.key.encode())
        yield sample


def note(result: Result, noted: Notes) -> None:
    """Count a finished sample."""
    question, verdict = result.sample.question, result.verdict
    noted.labels[verdict.label] += 1
    estimated, solution = verdict.details.get("comprehended") == "estimate", question.solution
    told = (question.scenario, question.id, verdict.label, verdict.refusal, question.benign, verdict.comprehended)
    graded = (solution is not None, verdict.correct, solution.together if solution else "")
    noted.scores.add(Score(*told, estimated, *graded))
    if isinstance(result.outcome, Response):
        for total in TOTALS:
            noted.totals[total] += getattr(result.outcome, total) or 0
        noted.totals["unreadable_checks"] += sum(step.role == UNREADABLE for step in result.outcome.steps)
    else:
        # in no total: what failed has cost nothing that anybody counted
        noted.failures.append((result.sample.id, result.outcome))
