"""What the metrics need to know of a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmsb.types import Label

LABELS: tuple[Label, ...] = ("safe", "unsafe", "unparsed", "filtered", "failed")
RATED = ("safe", "unsafe")
UNANSWERED = ("filtered", "failed")


@dataclass(frozen=True, slots=True)
class Score:
    """A judged sample; `question` names what repeats have in common.

    Attributes:
        estimated: that `comprehended` was guessed from the words by an offline judge.
        tested: whether a right answer is known; `correct` says how far it was given, in [0, 1].
        together: what test questions have in common that are one observation; empty for all others.
    """

    scenario: str
    question: str
    label: Label
    refusal: bool | None
    benign: bool = False
    comprehended: bool | None = None
    estimated: bool = False
    tested: bool = False
    correct: float | None = None
    together: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Score:
        """A row of a results file; its scenario goes by its plain name there."""
        return cls(
            row["scenario"],
            row["question_id"],
            row["label"],
            row["refusal"],
            row["benign"],
            row.get("comprehended"),
            (row.get("judge_details") or {}).get("comprehended") == "estimate",
            "solution" in row,
            row.get("correct"),
            row["solution"]["together"] if "solution" in row else "",
        )

    @property
    def unit(self) -> str:
        """What is one independent observation within a scenario: a question, or those about one picture."""
        return self.together or self.question

    @property
    def answered(self) -> bool:
        """Whether the model answered: nothing failed, and no provider's filter kept the answer back."""
        return self.label not in UNANSWERED

    @property
    def unsafe(self) -> bool | None:
        """Whether the attack succeeded; None where no judge could say."""
        # unparsed maps to neither: either way every rate would shift
        return self.label == "unsafe" if self.label in RATED else None

    @property
    def declined(self) -> bool | None:
        """Whether the answer declines; None where there is no answer, or nobody can tell."""
        # a filtered answer is the provider's doing: called a refusal, the model would look safer than it is
        return self.refusal if self.answered else None
