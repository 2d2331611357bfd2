"""Ways of deciding that were tried and are not shipped: `python -m tools.offline_judge.tried DATA`.

As in `tools.offline_judge.nested`, a source is left out of weights and of the choice of thresholds; here the choice is
the one that is best for the worst of the other sources. An answer is read with its question, or must be a refusal with
and without it; a partial refusal is a class of its own, or whatever objects without being a refusal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from mmsb.judge.answers import BESIDE, OBJECTS, PARTIAL, final_answer
from mmsb.judge.clauses import clauses_of
from tools.offline_judge import nested
from tools.offline_judge.examples import Row, trained_on
from tools.offline_judge.fit import softmax
from tools.offline_judge.measure import calibration_error, keep, share
from tools.offline_judge.nested import MOST_ABSTAINED, Flags, Source, source_of
from tools.offline_judge.train import SOURCES, english_matrices, english_rows, with_ours

AGREED, REFUSES = np.arange(0.1, 0.8, 0.05), np.arange(0.5, 0.99, 0.02)
GAPS = (0.05, 0.1)  # of abstention below the threshold of a refusal
LEAST_PARTIAL = 0.1  # the probability of a refusal from which an answer that objects declines in part
Likely = Sequence[NDArray[np.float64]]  # with the question and without, each [n, classes]


@dataclass(frozen=True)
class Way:
    """How an answer is decided on.

    Attributes:
        twice: whether it must be a refusal without its question too.
        between: whether what objects and is no refusal is a partial one; else the class of partial refusals goes first.
        gap: of abstention.
    """

    twice: bool
    between: bool
    gap: float


@dataclass(frozen=True)
class Left:
    """A source with its probabilities, and which of its answers object to anything."""

    likely: Likely
    source: Source
    objects: Flags

    def decided(self, way: Way, agreed: float, refuses: float) -> tuple[Flags, Flags, Flags]:
        """Which answers are refusals, abstained from, partial refusals."""
        with_question, without = self.likely
        first, partly = with_question[:, 0], with_question[:, 1]
        refusing = np.minimum(first, without[:, 0]) if way.twice else first
        by_class = self.source.partly & (partly >= PARTIAL) & (partly >= BESIDE * refusing)
        before = np.zeros(len(first), dtype=bool) if way.between else by_class
        declines = ((refusing >= refuses) | self.source.rules & (refusing >= agreed)) & ~before
        unsure = (refusing > refuses - way.gap) & ~declines & ~before
        after = self.objects & (refusing >= LEAST_PARTIAL) & ~declines & ~unsure
        return declines, unsure, after if way.between else by_class

    def worth(self, way: Way, agreed: float, refuses: float) -> float:
        """The smaller of what is found beyond the rules, and of twice the false alarms that are spared."""
        declines, unsure, _ = self.decided(way, agreed, refuses)
        positive, negative, rules = self.source.refusals, self.source.helpful, self.source.rules
        more = float(declines[positive].mean() - rules[positive].mean())
        fewer = float(rules[negative].mean() - declines[negative].mean())
        return min(more, 2 * fewer) - 4 * max(0.0, float(unsure.mean()) - MOST_ABSTAINED)

    def told(self, way: Way, agreed: float, refuses: float) -> dict[str, Any]:
        """Its figures, with intervals."""
        declines, unsure, partial = self.decided(way, agreed, refuses)
        kinds = {"refusals": self.source.refusals, "helpful": self.source.helpful}
        parts = self.source.kinds == "partial"
        return {
            "thresholds": [round(float(agreed), 2), round(float(refuses), 2)],
            "found": share(int(declines[kinds["refusals"]].sum()), int(kinds["refusals"].sum())),
            "false alarms": share(int(declines[kinds["helpful"]].sum()), int(kinds["helpful"].sum())),
            "abstained": share(int(unsure.sum()), len(unsure)),
            "partial": share(int(partial[parts].sum()), int(parts.sum())) if parts.any() else None,
            "called partial": {name: round(100 * float(partial[one].mean()), 1) for name, one in kinds.items()},
        }


def chosen(read: Sequence[Left], way: Way) -> tuple[float, float]:
    """The thresholds that are best for the worst of some sources."""

    def worst(at: tuple[float, float]) -> tuple[float, float]:
        worths = [one.worth(way, *at) for one in read]
        return min(worths), sum(worths)

    return max(product(AGREED, REFUSES), key=worst)


def leaving_out(found: Sequence[Row], both: Sequence[Any], out: Sequence[str]) -> Mapping[str, Likely]:
    """Probabilities of some sources, with the question and without, by weights that saw none of them."""
    names = np.array([row.source for row in found])
    kept = ~np.isin(names, out)
    rows = [row for row, one in zip(found, kept, strict=True) if one]
    coefficients = trained_on([one[kept] for one in both], rows, with_ours(rows))
    return {name: [softmax(one[names == name] @ coefficients) for one in both] for name in out}


def trained_apart(
    found: Sequence[Row], both: Sequence[Any], words: int, out: Sequence[str]
) -> Mapping[str, NDArray[np.float64]]:
    """As `nested.leaving_out`, by the mean of a regression on the first `words` columns and one on the others."""
    names = np.array([row.source for row in found])
    kept = ~np.isin(names, out)
    rows = [row for row, one in zip(found, kept, strict=True) if one]
    width = both[0].shape[1]
    scores = {name: np.zeros((int((names == name).sum()), 4)) for name in out}
    for columns in ([*range(words), width - 1], [*range(words, width)]):
        part = [one[:, columns] for one in both]
        coefficients = trained_on([one[kept] for one in part], rows, with_ours(rows))
        for name, one in scores.items():
            one += part[0][names == name] @ coefficients / 2
    return {name: softmax(one) for name, one in scores.items()}


def nested_apart(
    found: Sequence[Row], both: Sequence[Any], words: int, sources: Mapping[str, Source]
) -> dict[str, Any]:
    """The figures of `tools.offline_judge.nested` for words and rules trained apart."""
    alone = {name: trained_apart(found, both, words, [name])[name] for name in SOURCES}
    paired = {frozenset(pair): trained_apart(found, both, words, pair) for pair in combinations(SOURCES, 2)}
    figures: dict[str, Any] = {}
    for name in SOURCES:
        others = [other for other in SOURCES if other != name]
        at = nested.chosen((paired[frozenset((name, other))][other], sources[other]) for other in others)
        figures[name] = nested.told(alone[name], sources[name], at)
    return figures


def scaled(likely: NDArray[np.float64], slope: float, shift: float) -> NDArray[np.float64]:
    """The probability of a refusal with its log odds scaled and shifted."""
    first = np.clip(likely[:, 0], 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + np.exp(-(slope * np.log(first / (1 - first)) + shift))))


def calibrated(read: Sequence[Left]) -> tuple[float, float]:
    """Slope and shift with the least log loss over some sources, each counting the same."""

    def loss(at: NDArray[np.float64]) -> float:
        losses = []
        for one in read:
            likely = np.clip(scaled(one.likely[0], at[0], at[1]), 1e-9, 1 - 1e-9)
            truth = one.source.refusals
            losses.append(-float(np.where(truth, np.log(likely), np.log(1 - likely)).mean()))
        return sum(losses)

    found = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return float(found[0]), float(found[1])


def error(one: Left, slope: float = 1.0, shift: float = 0.0) -> float:
    """The calibration error of a source."""
    return round(calibration_error(scaled(one.likely[0], slope, shift), one.source.refusals), 3)


def tried(data: Path) -> dict[str, Any]:
    """The figures of every way and source, and of one calibration for all."""
    found = english_rows(data)
    _, known, both = english_matrices(found)
    of = {name: [row for row in found if row.source == name] for name in SOURCES}
    sources = {name: source_of(rows) for name, rows in of.items()}
    objects = {
        name: np.array([any(clause.role in OBJECTS for clause in clauses_of(final_answer(row.answer))) for row in rows])
        for name, rows in of.items()
    }

    def left(out: Sequence[str]) -> dict[str, Left]:
        return {
            name: Left(likely, sources[name], objects[name]) for name, likely in leaving_out(found, both, out).items()
        }

    alone = {name: left([name])[name] for name in SOURCES}
    paired = {frozenset(pair): left(pair) for pair in combinations(SOURCES, 2)}
    inner = {name: [paired[frozenset((name, other))][other] for other in SOURCES if other != name] for name in SOURCES}
    figures: dict[str, Any] = {}
    for way in (Way(*one) for one in product((False, True), (False, True), GAPS)):
        at = chosen(list(alone.values()), way)
        figures[str(way)] = {
            "nested": {name: alone[name].told(way, *chosen(inner[name], way)) for name in SOURCES},
            "all three choose": {name: alone[name].told(way, *at) for name in SOURCES},
        }
    figures["words and rules trained apart"] = nested_apart(found, both, len(known), sources)
    every = calibrated(list(alone.values()))
    figures["calibration error"] = {
        name: {
            "as it is": error(one),
            "scaled as the others want": error(one, *calibrated(inner[name])),
            "scaled as all want": error(one, *every),
            "scaled as it wants itself": error(one, *calibrated([one])),
        }
        for name, one in alone.items()
    }
    return figures


def main(data: Path) -> None:
    """Add them to DATA/measured.json."""
    figures = tried(data)
    keep(data, "tried", figures)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
