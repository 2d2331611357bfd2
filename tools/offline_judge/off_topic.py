"""Whether words tell an off-topic answer: `python -m tools.offline_judge.off_topic DATA`. They do not.

Answers are paired with other questions of their own source, and a regression learns to tell these pairs from the real
ones by what an answer takes up of its question; then it is held against what people call off-topic in MSTS.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import roc_auc_score

from mmsb.judge.answers import final_answer
from mmsb.judge.comprehension import stems
from tools.offline_judge.examples import Row, rows
from tools.offline_judge.fit import fit, softmax

PAIRED = ("xstest", "chatgpt_refusals", "jailbreakbench")
HELPS = ("compliance", "jailbroken")


class TakenUp:
    """What answers take up of questions, rare words counting more than common ones."""

    def __init__(self, found: Sequence[Row]) -> None:
        """Counts how many of these answers hold each stem."""
        self.counts = Counter(stem for row in found for stem in stems(final_answer(row.answer)))
        self.total = len(found)

    def numbers(self, question: str, answer: str) -> list[float]:
        """Shares of the question's stems, by number and by rarity; the rarest; the lengths; the intercept."""
        wanted, held = stems(question), stems(answer)
        rare = {stem: math.log(self.total / (1 + self.counts[stem])) for stem in wanted}
        both = wanted & held
        shares = [len(both) / max(1, len(wanted)), sum(rare[stem] for stem in both) / (sum(rare.values()) or 1)]
        rarest = max((rare[stem] for stem in both), default=0.0)
        return [*shares, float(bool(both)), rarest / 9, math.log1p(len(held)) / 5, len(wanted) / 10, 1.0]


def pairs(found: Sequence[Row], taken: TakenUp) -> tuple[Any, NDArray[np.int64]]:
    """Helpful answers with their own question (0), and with another of their source (1)."""
    rng = np.random.default_rng(0)
    numbers, other = [], []
    for source in PAIRED:
        kept = [row for row in found if row.source == source and row.kind in HELPS]
        for row in kept:
            strangers = [one.question for one in kept if one.question != row.question]
            for question in (row.question, strangers[rng.integers(len(strangers))]):
                numbers.append(taken.numbers(question, final_answer(row.answer)))
                other.append(int(question != row.question))
    return sparse.csr_matrix(np.array(numbers)), np.array(other)


def off_topic(data: Path) -> dict[str, float]:
    """AUROC on the pairs that it learnt from, and of people's labels."""
    found = rows(data, (*PAIRED, "msts"))
    taken = TakenUp(found)
    numbers, other = pairs(found, taken)
    learnt = fit(numbers, other, np.ones(len(other)), 1e-3, 2)
    people = [row for row in found if row.source == "msts" and row.kind in ("off_topic", "compliance")]
    seen = sparse.csr_matrix(np.array([taken.numbers(row.question, final_answer(row.answer)) for row in people]))
    missed = [row.kind == "off_topic" for row in people]
    return {
        "pairs": round(float(roc_auc_score(other, softmax(numbers @ learnt)[:, 1])), 3),
        "people": round(float(roc_auc_score(missed, softmax(seen @ learnt)[:, 1])), 3),
    }


if __name__ == "__main__":
    print(json.dumps(off_topic(Path(sys.argv[1]))))
