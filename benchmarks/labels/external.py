"""Labels of other answers: the same judge there and here, and one that errs differently here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy

from benchmarks.labels.own import GROUPS, SCENARIOS, SIZES, Array, Counts, judges, profiles
from mmsb.metrics import likelihood
from mmsb.metrics.misclassification import fieller, together


@dataclass(frozen=True)
class Outside:
    """A situation: labels of each kind in each group, errors that differ by `drift`, and ends that allow for it."""

    name: str
    judge: str
    labels: int
    drift: float
    allowed: float


@dataclass(frozen=True)
class Held:
    """What a situation showed where the judge seemed better than chance: coverage, and the median width."""

    cell: Outside
    coverage: float
    width: float


def cells() -> Iterator[Outside]:
    """All situations."""
    for labels in (25, 50, 100, 200):
        for drift, allowed in ((0.0, 0.0), (0.05, 0.0), (0.05, 0.05), (0.1, 0.0), (0.1, 0.1)):
            if drift == 0 or labels == 100:
                for judge in ("0.95/0.95", "0.88/0.47", "0.99/0.80"):
                    yield from (Outside(name, judge, labels, drift, allowed) for name in profiles())


def shares(counts: Counts, n: Counts, weights: Array) -> SimpleNamespace:
    """Averages [replications] of binomial shares [replications, strata] with their ends."""
    data = numpy.stack([n - counts, counts], -1).astype(float)
    distinct, places = numpy.unique(data, axis=0, return_inverse=True)
    values = numpy.broadcast_to(numpy.array([0.0, 1.0]), distinct.shape)
    low, high = likelihood.ends(values, distinct, numpy.broadcast_to(weights, distinct.shape[:2]))
    return SimpleNamespace(value=(counts / n) @ weights, low=low[places.ravel()], high=high[places.ravel()])


def simulated(cell: Outside, replications: int, seed: int) -> Held:
    """Measure a situation, errors drifting both ways by turns."""
    draw = numpy.random.default_rng(seed)
    p = profiles()[cell.name]
    sensitivity, specificity = (float(errors[0]) for errors in judges()[cell.judge])
    sign = numpy.where(numpy.arange(replications) % 2, 1, -1)[:, None] * cell.drift
    here = (sensitivity + sign).clip(0, 1) * p + (1 - (specificity - sign).clip(0, 1)) * (1 - p)
    judged = draw.binomial(SIZES, here)
    parts, useful = [], numpy.ones(replications, bool)
    one, n = numpy.ones(1), numpy.array([cell.labels])
    for group in GROUPS:
        observed = shares(judged[:, group], SIZES[group], numpy.full(len(group), 1 / len(group)))
        found = shares(draw.binomial(cell.labels, sensitivity, (replications, 1)), n, one)
        alarms = shares(draw.binomial(cell.labels, 1 - specificity, (replications, 1)), n, one)
        useful &= found.value > alarms.value
        with numpy.errstate(divide="ignore", invalid="ignore"):  # where the judge seems no better than chance
            ends = fieller(observed, found, alarms), fieller(observed, found, alarms, cell.allowed)
        parts.append((len(group) / SCENARIOS, *ends))
    with numpy.errstate(invalid="ignore"):
        everything = together(parts)
    _, low, high = (found[useful].clip(0, 1) for found in everything)
    truth = p.mean()
    held = (low - 1e-9 <= truth) & (truth <= high + 1e-9)
    return Held(cell, float(held.mean()), float(numpy.median(high - low)))
