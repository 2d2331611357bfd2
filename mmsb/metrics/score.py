"""What the metrics need to know of a sample."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmsb.types import Label

if TYPE_CHECKING:
    import numpy

RATED = ("safe", "unsafe")
UNANSWERED = ("filtered", "failed")
UNIT_BYTES = 8  # of a digest: that two of a million are the same by chance happens to one run in forty million
PARTS = 16  # that are sorted one after the other: all at once, sorting takes four times the room of what is sorted


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


class Scores:
    """The scores of a run, without their questions' names: 12 bytes each, so that a million fit anywhere.

    What counts is which samples are one observation, and what is known of each; of that there are few kinds.
    """

    def __init__(self, scores: Iterable[Score] = ()) -> None:
        """Take in scores."""
        self._numbers: dict[tuple[object, ...], int] = {}
        self._kinds: list[Score] = []
        self._codes = array("I")  # kinds, one a score
        self._units = bytearray()  # digests of what is one observation, one a score
        for score in scores:
            self.add(score)

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, score: Score) -> None:
        """One more."""
        # What it is about is left out; that it shares its observation with others is part of what it is.
        told = (score.scenario, score.label, score.refusal, score.benign, score.comprehended, score.estimated)
        kind = (*told, score.tested, score.correct, bool(score.together))
        code = self._numbers.setdefault(kind, len(self._kinds))
        if code == len(self._kinds):
            self._kinds.append(replace(score, question="", together="shared" if score.together else ""))
        self._codes.append(code)
        unit = f"{score.scenario}\0{score.unit}".encode("utf-8", "surrogatepass")
        self._units += hashlib.blake2b(unit, digest_size=UNIT_BYTES).digest()

    def units(self) -> Iterator[tuple[tuple[Score, ...], int]]:
        """Observations that are alike, and how many there are: the kinds of their samples, in a fixed order."""
        import numpy

        found: Counter[tuple[int, ...]] = Counter()
        if self._codes:
            codes = numpy.frombuffer(self._codes, numpy.uint32)
            digests = numpy.frombuffer(self._units, numpy.uint64)
            places = numpy.frombuffer(self._units, numpy.uint8)[::UNIT_BYTES] % PARTS
            for part in range(PARTS):
                here = numpy.flatnonzero(places == part)
                found.update(_alike(codes[here], digests[here]))
        for kinds, count in found.items():
            yield tuple(self._kinds[code] for code in kinds), count


def _alike(codes: numpy.ndarray, digests: numpy.ndarray) -> Counter[tuple[int, ...]]:
    """How many digests have the same codes, by these."""
    import numpy

    order = numpy.lexsort((codes, digests))
    codes, digests = codes[order], digests[order]
    starts = numpy.flatnonzero(numpy.diff(digests, prepend=~digests[:1]))
    sizes = numpy.diff(starts, append=len(codes))
    alone = numpy.bincount(codes[starts[sizes == 1]]).tolist()
    found: Counter[tuple[int, ...]] = Counter({(code,): count for code, count in enumerate(alone) if count})
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        found[tuple(codes[start : start + size].tolist())] += 1
    return found
