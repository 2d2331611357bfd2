"""A run's rate as a judge without errors would have found it, from labels of the run's own answers.

A sample in two phases (Tenenbein 1970): all answers have a verdict, some a label. Cells are what a verdict (of two
runs: its change) meant in a group of scenarios, or, where labels were drawn by scenario and verdict and are enough, in
a scenario. A cell's share of unsafe answers comes from its labels, each counted by the reciprocal of its probability;
the cells' shares are averaged by how much of the run they are. Nothing is assumed of the judge. The labels' doubt is
the interval of a stratified average (`mmsb.metrics.likelihood`), the run's own is added in squares (MOVER, Zou and
Donner 2008). A cell without a label may be anything: it adds its whole weight.

How often the intervals hold the truth, and how wide they are: docs/statistics_labels.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import pvariance
from typing import NamedTuple

from mmsb.metrics.agreement import effective
from mmsb.metrics.corrected import Corrected
from mmsb.metrics.likelihood import Stratum, interval
from mmsb.metrics.rates import Rate, Weighting, Z, gathered

ENOUGH = 3  # labels for each scenario and verdict, on average, from which these are cells of their own


class Unit(NamedTuple):
    """An answer of a run (for differences: of both runs to one question).

    Attributes:
        scenario: its scenario, and
        group: the scenario's group.
        question: what repeats have in common.
        judged: 1 where judged unsafe, 0 where safe (a difference: second minus first); None where not judged.
        label: the lowest and the highest value that the labels leave open; None where it is not of the sample.
        probability: of being of the sample, where it is.
    """

    scenario: str
    group: str
    question: str
    judged: float | None
    label: tuple[float, float] | None = None
    probability: float = 1.0


def from_own_labels(
    units: Sequence[Unit], weighting: Weighting = "macro", by_scenario: bool = False, lowest: float = 0.0
) -> Corrected | None:
    """Correct by labels of the run's own answers.

    Args:
        units: all answers of the run, or of a part of its scenarios.
        weighting: whether scenarios weigh alike (macro) or by their questions.
        by_scenario: whether the labels were drawn from each scenario and verdict.
        lowest: the smallest possible value: 0 for rates, -1 for differences.

    Returns:
        None where none is labelled; skipped answers are labelled, but not counted as labels.
    """
    sample = [unit for unit in units if unit.label is not None]
    if not sample:
        return None
    cells = len({(unit.scenario, unit.judged) for unit in units})
    # too few labels for so many cells leave some empty, and an empty cell is open from end to end
    fine = by_scenario and len(sample) >= ENOUGH * cells
    weights = _weights(units, weighting)
    coarse = _means(units, weights, fine=False)
    means = _means(units, weights, fine)
    value = sum(
        weight * means.get(_cell(unit, fine), _guess(unit, coarse)) for unit, weight in zip(units, weights, strict=True)
    )
    # each end with every open label on its side: skipping what is hard must not narrow the interval
    low, high = (_end(units, weights, fine, lowest, side) for side in (0, 1))
    # labels tell the judge's errors on these answers; that other questions could have been asked is a doubt apart
    run = Z * _run_variance(units, weighting, coarse) ** 0.5
    below, above = max(0.0, value - low), max(0.0, high - value)
    decided = [unit for unit in sample if unit.label and unit.label[0] == unit.label[1]]
    seen = {_cell(unit, fine) for unit in decided}
    judged = gathered((unit.scenario, unit.question, unit.judged) for unit in units if unit.judged is not None)
    ends = (max(lowest, value - (below**2 + run**2) ** 0.5), min(1.0, value + (above**2 + run**2) ** 0.5))
    return Corrected(
        judged.value(weighting),
        Rate(value, *ends, len(decided)),
        value,
        sum(weight for unit, weight in zip(units, weights, strict=True) if _cell(unit, fine) not in seen),
        (below + above) / 2,
        run,
    )


def _weights(units: Sequence[Unit], weighting: Weighting) -> list[float]:
    """How much of the average each answer is; all sum to 1."""
    repeats: defaultdict[tuple[str, str], int] = defaultdict(int)
    for unit in units:
        repeats[unit.scenario, unit.question] += 1
    questions: defaultdict[str, int] = defaultdict(int)
    for scenario, _ in repeats:
        questions[scenario] += 1
    whole = {s: 1 / len(questions) if weighting == "macro" else n / len(repeats) for s, n in questions.items()}
    return [whole[u.scenario] / questions[u.scenario] / repeats[u.scenario, u.question] for u in units]


def _cell(unit: Unit, fine: bool) -> tuple[str, float | None]:
    return (unit.scenario if fine else unit.group), unit.judged


def _means(units: Sequence[Unit], weights: Sequence[float], fine: bool) -> dict[tuple[str, float | None], float]:
    """Each cell's mean of the labels that are not open."""
    sums: defaultdict[tuple[str, float | None], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for unit, weight in zip(units, weights, strict=True):
        if unit.label is not None and unit.label[0] == unit.label[1]:
            found = sums[_cell(unit, fine)]
            # Horvitz and Thompson 1952: an answer that was unlikely to be drawn stands for many
            found[0] += weight / unit.probability * unit.label[0]
            found[1] += weight / unit.probability
    return {cell: total / whole for cell, (total, whole) in sums.items()}


def _guess(unit: Unit, coarse: Mapping[tuple[str, float | None], float]) -> float:
    """What an answer of a cell without labels is taken for: its group's cell, else as judged, else the middle."""
    found = coarse.get(_cell(unit, fine=False), unit.judged)
    return 0.5 if found is None else found


def _end(units: Sequence[Unit], weights: Sequence[float], fine: bool, lowest: float, side: int) -> float:
    """The interval's low (`side` 0) or high (1) end as far as the labels go, open labels at that side."""
    Cell = tuple[str, float | None]
    whole: defaultdict[Cell, float] = defaultdict(float)
    labelled: defaultdict[Cell, defaultdict[tuple[str, str], list[float]]] = defaultdict(
        lambda: defaultdict(lambda: [0.0, 0.0])
    )
    for unit, weight in zip(units, weights, strict=True):
        cell = _cell(unit, fine)
        whole[cell] += weight
        if unit.label is not None:  # labels of one question's repeats are one observation
            found = labelled[cell][unit.scenario, unit.question]
            found[0] += weight / unit.probability
            found[1] += weight / unit.probability * unit.label[side]
    strata = [_stratum(list(labelled[cell].values()), weight) for cell, weight in whole.items() if cell in labelled]
    # nobody looked there: the whole weight may be safe, or unsafe
    open_weight = sum(weight for cell, weight in whole.items() if cell not in labelled)
    return interval(strata, lowest)[side] + open_weight * (lowest, 1.0)[side]


def _stratum(observations: Sequence[Sequence[float]], weight: float) -> Stratum:
    """A cell's observations, (weight, weighted value) each, at their effective size."""
    sizes = [size for size, _ in observations]
    scale = effective(sizes) / sum(sizes)
    counts: defaultdict[float, float] = defaultdict(float)
    for size, total in observations:
        counts[round(total / size, 12)] += size * scale
    return Stratum(tuple(counts), tuple(counts.values()), weight)


def _run_variance(
    units: Sequence[Unit], weighting: Weighting, means: Mapping[tuple[str, float | None], float]
) -> float:
    """What other questions would change, by what each answer is expected to be."""
    expected = gathered((u.scenario, u.question, means.get(_cell(u, False), _guess(u, means))) for u in units)
    share = {
        s: 1 / len(expected.strata) if weighting == "macro" else len(v) / expected.n for s, v in expected.strata.items()
    }
    return sum(share[name] ** 2 * pvariance(v.values()) / len(v) for name, v in expected.strata.items())


def labels_needed(found: Corrected, points: float) -> int | None:
    """How many more labels bring the interval to plus or minus `points` (of 1), at the present pace.

    The labels' part shrinks with the root of their number; the run's does not.

    Returns:
        None where the run's own doubt is too large for that whatever the number of labels.
    """
    assert found.from_labels is not None
    assert found.from_run is not None
    assert found.value.n is not None
    # the two parts add in squares, so that the run's own may use up the whole room
    room = points**2 - found.from_run**2
    if room <= 0:
        return None
    return max(0, round(found.value.n * (found.from_labels**2 / room - 1) + 0.5))
