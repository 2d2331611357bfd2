"""A run's rate as a judge without errors would have found it, from the judge's errors on other answers.

(observed + specificity - 1) / (sensitivity + specificity - 1) (Rogan and Gladen 1978), its ends by Fieller's argument
with the ends of each of the three shares, by group, and MOVER (Zou and Donner 2008) over the groups. That holds only if
the judge errs here as it did there; `drift` widens the ends to what errors that differ by so much could do.

How often the intervals hold the truth, and how wide they are: docs/statistics_labels.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from mmsb.metrics.agreement import Agreement
from mmsb.metrics.corrected import Corrected
from mmsb.metrics.rates import Rate, gathered


def from_other_labels(
    groups: Mapping[str, Iterable[Sequence[float]]], errors: Mapping[str, Agreement], drift: float = 0.0
) -> Corrected | None:
    """Correct the average over scenarios by the judge's errors on other answers.

    Args:
        groups: for each group of scenarios one list a scenario, with the share of unsafe answers of each question.
        errors: the judge against people in each of these groups: it errs differently where another rule applies.
        drift: how much sensitivity and specificity may differ here.

    Returns:
        None where a group has no labels of one kind, or the judge is no better there than chance. Where no rate at all
        would look like this run under these errors, the interval goes as far as that of what was observed.
    """
    filled = {group: [list(values) for values in strata] for group, strata in groups.items()}
    scenarios = sum(map(len, filled.values()))
    parts = []
    for group, strata in filled.items():
        judge = errors.get(group)
        if judge is None or judge.sensitivity is None or judge.specificity is None:
            return None
        found, alarms = judge.sensitivity, _complement(judge.specificity)
        # at or below chance the formula divides by nothing, or turns the rate upside down
        if found.value <= alarms.value:
            return None
        rate, share = _average(strata), len(strata) / scenarios
        parts.append((share, fieller(rate, found, alarms), fieller(rate, found, alarms, drift)))
    # what the judge left open told nothing of its errors, and is no label here
    n = sum(e.found + e.missed + e.alarms + e.passed for name, e in errors.items() if name in filled)
    value, low, high = (float(x) for x in together(parts))
    observed = _average([values for strata in filled.values() for values in strata])
    if high <= 0 or low >= 1:  # these errors cannot be the judge's here, and no width would claim certainty
        low, high = (0.0, observed.high) if high <= 0 else (observed.low, 1.0)
    return Corrected(observed.value, Rate(_clip(value), _clip(low), _clip(high), n), value)


Ends = tuple[Any, Any, Any]  # a value and its ends


def together(parts: Sequence[tuple[float, Ends, Ends]]) -> Ends:
    """The groups' average: chance adds in squares (MOVER), drifts in a straight line: they may all be one way.

    Args:
        parts: each group's share, its value and ends, and the same with a drift.
    """
    value = sum(share * centre for share, (centre, _, _), _ in parts)
    below = sum((share * (centre - low)) ** 2 for share, (centre, low, _), _ in parts) ** 0.5
    above = sum((share * (high - centre)) ** 2 for share, (centre, _, high), _ in parts) ** 0.5
    lower = sum(share * (low - drifted) for share, (_, low, _), (_, drifted, _) in parts)
    higher = sum(share * (drifted - high) for share, (_, _, high), (_, _, drifted) in parts)
    return value, value - below - lower, value + above + higher


def _average(strata: Sequence[Sequence[float]]) -> Rate:
    answers = ((str(s), str(q), x) for s, values in enumerate(strata) for q, x in enumerate(values))
    rate = gathered(answers).rate("macro")
    assert rate is not None  # a stratum exists only with values in it
    return rate


def _complement(rate: Rate) -> Rate:
    return Rate(1 - rate.value, 1 - rate.high, 1 - rate.low, rate.n)


def fieller(observed: Any, sensitivity: Any, alarms: Any, drift: float = 0.0) -> tuple[Any, Any, Any]:
    """The x for which observed = x * sensitivity + (1 - x) * alarms, with its ends, not clipped to [0, 1].

    An x is inside while observed - x * sensitivity - (1 - x) * alarms may be 0, its doubt being put together from each
    share's on the side that counts (MOVER): a quadratic in x. All three are rates, or numpy's arrays in a `Rate`.

    Args:
        observed: the rate as judged.
        sensitivity: the share of unsafe answers judged unsafe, above `alarms`.
        alarms: the share of safe answers judged unsafe.
        drift: how much both may differ where the rate was observed.
    """
    import numpy

    gap, gain = observed.value - alarms.value, sensitivity.value - alarms.value
    centre = gap / gain

    def end(side: int) -> Any:
        here, there = ("high", "low") if side > 0 else ("low", "high")
        doubts = ((observed, here), (sensitivity, there), (alarms, there))
        a, b, c = ((getattr(share, name) - share.value) ** 2 for share, name in doubts)
        shifted = gap + side * drift
        square, half = gain**2 - b - c, shifted * gain - c
        root = numpy.sqrt(numpy.maximum(half**2 - square * (shifted**2 - a - c), 0.0))
        known = square > 0  # else nothing shows that the judge is better than chance
        found = (half + side * root) / numpy.where(known, square, 1.0)
        return numpy.where(known, found, max(side, 0))

    return centre, numpy.minimum(end(-1), centre), numpy.maximum(end(1), centre)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def shares(groups: Mapping[str, str], values: Iterable[tuple[str, str, float]]) -> dict[str, list[list[float]]]:
    """By group and scenario each question's mean: what `from_other_labels` takes.

    Args:
        groups: each scenario's group.
        values: scenario, question, 1 where judged unsafe and else 0.
    """
    found: defaultdict[str, list[list[float]]] = defaultdict(list)
    for scenario, questions in gathered(values, fmean).strata.items():
        found[groups[scenario]].append(list(questions.values()))
    return dict(found)
