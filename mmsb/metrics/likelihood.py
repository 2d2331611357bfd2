"""How far a weighted average over strata can move before the data speak against it: stratified empirical likelihood.

Every rate, average and difference of a run is one thing: strata (scenarios) with a weight each, in them independent
values in [lowest, 1], one a question (its outcome, the mean of its repeats, or its change between two runs). The
interval is every average that some distribution over the observed values gives without costing more likelihood than
chi-squared allows. For outcomes of 0 and 1 this is the profile likelihood of a weighted sum of binomial shares.

Three things are added. Each value of a stratum of n counts n / (n + 1), which stands in for the variance that n values
understate. Towards each end one more value is supposed, the extreme one (1 above, `lowest` below), of `PSEUDO` values'
mass in all, shared among the strata by weight: without it the end could not leave the range of what was seen, and
nothing seen would mean certainty. Nothing is drawn at random: the same data give the same interval.

Raising a value never lowers an end: whatever weighting of the values reached a mean before reaches at least that mean
after, at the same cost. Swapping 0 and 1 mirrors the interval. Both hold by construction and are tested.

Assumes questions to be independent draws from what their scenario stands for; repeats of one need not be.

Sources: Owen 1988, "Empirical likelihood ratio confidence intervals for a single functional", and 2001, "Empirical
Likelihood"; weighted sums of binomials by profile likelihood: Price and Bonett 2004 for the setting. The supposed
value is this project's own; docs/statistics.md has the simulations that it stands on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array = NDArray[numpy.float64]

PSEUDO = 0.4
CHI_SQUARED = 3.841458820694124  # the 95 % point with one degree of freedom
STEPS, PATIENCE = 200, 20  # bounds only: some 5 are needed
STEEPEST = 1e200  # leaves a value next to no weight; beyond it numbers overflow


@dataclass(frozen=True, slots=True)
class Stratum:
    """What was seen in one stratum.

    Attributes:
        values: the distinct values, in [lowest, 1].
        counts: how often each was seen, above 0; fractions where values are weighted to an effective size.
        weight: of the stratum's mean in the average.
    """

    values: Sequence[float]
    counts: Sequence[float]
    weight: float


def average(strata: Sequence[Stratum]) -> float:
    """The weighted sum of the strata's means."""
    return math.fsum(
        s.weight * math.fsum(map(math.prod, zip(s.values, s.counts, strict=True))) / sum(s.counts) for s in strata
    )


def interval(
    strata: Sequence[Stratum], lowest: float = 0.0, pseudo: float = PSEUDO, limit: float = CHI_SQUARED
) -> tuple[float, float]:
    """The ends of the interval for the strata's weighted average.

    Args:
        strata: at least one, none empty.
        lowest: the smallest possible value: 0 for rates, -1 for changes.
        pseudo: the mass of the supposed extreme value, in values.
        limit: the chi-squared point; the default gives 95 %.

    Returns:
        (low, high), within [lowest, 1] times the sum of the weights.
    """
    low, high = ends(*_arrays(strata), lowest=lowest, pseudo=pseudo, limit=limit)
    return float(low), float(high)


def intervals(strata: Sequence[Stratum], lowest: float = 0.0) -> list[tuple[float, float]]:
    """The ends for each stratum's own mean, whatever its weight; all are found at once."""
    import numpy

    values, counts, _ = _arrays(strata)
    low, high = ends(values[:, None], counts[:, None], numpy.ones((len(strata), 1)), lowest)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def deviance(strata: Sequence[Stratum], target: float, lowest: float = 0.0, pseudo: float = PSEUDO) -> float:
    """How much the data speak against an average of `target`: 0 not at all, `CHI_SQUARED` at the interval's ends.

    The test and the interval are one: an average is outside the interval where its deviance is above the limit.

    Returns:
        Twice the log likelihood ratio; infinite where no weighting of the values reaches `target`.
    """
    values, counts, weights = _arrays(strata)
    if target < average(strata):
        values, target = 1 + lowest - values, (1 + lowest) * float(weights.sum()) - target
    return float(deviances(values, counts, weights, target, pseudo=pseudo))


def tail(chi_squared: float) -> float:
    """The p-value of a deviance: chi-squared's upper tail with one degree of freedom."""
    return math.erfc(math.sqrt(chi_squared / 2))


def ends(
    values: Array,
    counts: Array,
    weights: Array,
    lowest: float = 0.0,
    pseudo: float = PSEUDO,
    limit: float = CHI_SQUARED,
) -> tuple[Array, Array]:
    """Like `interval`, for many data sets at once.

    Args:
        values: [..., strata, values], in [lowest, 1].
        counts: of the same shape; 0 where a stratum lacks the value.
        weights: [..., strata].
        lowest: the smallest possible value.
        pseudo: the mass of the supposed extreme value, in values.
        limit: the chi-squared point.

    Returns:
        (low, high), each [...].
    """
    whole = weights.sum(-1)
    # the lower end is the upper end of the mirrored values: one piece of code, and symmetry by construction
    mirrored = _upper((1 + lowest - values)[..., ::-1], counts[..., ::-1], weights, pseudo, limit)
    high = _upper(values, counts, weights, pseudo, limit)
    return ((1 + lowest) * whole - mirrored).clip(min=lowest * whole), high.clip(max=whole)


def deviances(values: Array, counts: Array, weights: Array, target: float, pseudo: float = PSEUDO) -> Array:
    """The deviance [...] of averages of at least `target`, for many data sets at once; shapes as in `ends`."""
    import numpy

    gaps, masses, best = _supposed(values, counts, weights, pseudo)
    tilted = _Tilted(gaps, masses)
    reachable = (best > target) & ((gaps * masses) > 0).any(axis=(-1, -2))
    at_once = tilted.at(numpy.zeros_like(best))
    missing = (target - (best - at_once.loss)).clip(min=0)

    def surplus(tilt: Array) -> tuple[Array, Array]:
        found = tilted.at(tilt)
        return best - found.loss - target, -found.loss_slope

    tilt = _solved(surplus, numpy.divide(missing, -at_once.loss_slope, where=reachable, out=numpy.zeros_like(best)))
    costs = numpy.where(reachable, tilted.at(tilt).cost, numpy.inf)
    return numpy.where(missing <= 0, 0.0, costs)


def _upper(values: Array, counts: Array, weights: Array, pseudo: float, limit: float) -> Array:
    import numpy

    gaps, masses, best = _supposed(values, counts, weights, pseudo)
    tilted = _Tilted(gaps, masses)

    def surplus(tilt: Array) -> tuple[Array, Array]:
        found = tilted.at(tilt)
        root = numpy.sqrt(found.cost.clip(min=0))  # nearly a straight line in the tilt, so that few steps are enough
        return root - limit**0.5, found.cost_slope / (2 * root)

    variance = -tilted.at(numpy.zeros_like(best)).loss_slope
    first = numpy.divide(limit, variance, where=variance > 0, out=numpy.zeros_like(best)) ** 0.5
    return best - tilted.at(_solved(surplus, first)).loss


def _supposed(values: Array, counts: Array, weights: Array, pseudo: float) -> tuple[Array, Array, Array]:
    """Gaps and masses [..., strata, values] with the supposed value of 1, and the best average there is [...].

    A value's gap is what the average loses against its stratum's best value if all weight were on it.
    """
    import numpy

    sizes = counts.sum(-1, keepdims=True)
    # by weight, not by size: where few questions of one stratum decide, a mass by size would leave it next to none
    shares = pseudo * weights[..., None] / weights[..., None].sum(-2, keepdims=True)
    masses = counts * sizes / (sizes + 1)
    if (values[..., -1] == 1).all():
        masses[..., -1:] += shares
    else:
        masses = numpy.concatenate([masses, shares], -1)
        values = numpy.concatenate([values, numpy.ones_like(shares)], -1)
    best = numpy.where(masses > 0, values, -numpy.inf).max(-1, keepdims=True)
    gaps = numpy.where(masses > 0, weights[..., None] * (best - values), 0.0)
    return gaps, masses, (weights * best[..., 0]).sum(-1)


class _Weighting(NamedTuple):
    """What a weighting of the values loses of the best average, its deviance, and how both change with the tilt."""

    loss: Array
    loss_slope: Array
    cost: Array
    cost_slope: Array


class _Tilted:
    """Weightings of the values by mass / (level + tilt * gap): the cheapest ones for their average (Lagrange).

    The level makes a stratum's weights sum to 1. Newton's steps on the reciprocal of the sum find it: that is concave,
    so that from below they never overshoot. They start where all that is not at the best value is taken to lie at its
    mean gap: of two values that is the level itself, of more it is below it (Jensen).
    """

    def __init__(self, gaps: Array, masses: Array) -> None:
        import numpy

        self.gaps, self.masses = gaps, masses
        self.whole = masses.sum(-1, keepdims=True)
        self.least = numpy.where(gaps == 0, masses, 0.0).sum(-1, keepdims=True)
        rest = self.whole - self.least
        lost = (masses * gaps).sum(-1, keepdims=True)
        self.mean_gap = numpy.divide(lost, rest, where=rest > 0, out=numpy.zeros_like(lost))

    def at(self, tilt: Array) -> _Weighting:
        """The weighting for a tilt [...]."""
        import numpy

        gaps, masses, level = self.gaps, self.masses, self._first_level(tilt)
        pull = tilt[..., None, None] * gaps
        for _ in range(STEPS):
            weights = masses / (level + pull)
            steep = weights / (level + pull)
            total = weights.sum(-1, keepdims=True)
            before, level = level, level + total * (total - 1) / steep.sum(-1, keepdims=True)
            level = numpy.maximum(level, self.least)
            if (abs(level - before) <= 1e-14 * level).all():
                break
        weights = masses / (level + pull)
        steep = weights / (level + pull)
        rise = gaps - (steep * gaps).sum(-1, keepdims=True) / steep.sum(-1, keepdims=True)
        loss = (weights * gaps).sum((-1, -2))
        cost = 2 * (masses * numpy.log((level + pull) / self.whole)).sum((-1, -2))
        return _Weighting(loss, -(steep * gaps * rise).sum((-1, -2)), cost, 2 * (weights * rise).sum((-1, -2)))

    def _first_level(self, tilt: Array) -> Array:
        """The level of two values: the root of x^2 - half x - least pull = 0, so written that nothing cancels."""
        import numpy

        pull = tilt[..., None, None] * self.mean_gap
        half = self.whole - pull
        root = numpy.hypot(half, 2 * numpy.sqrt(self.least * pull))
        above, below = (root + half) / 2, 2 * self.least * pull / numpy.where(half < 0, root - half, 1.0)
        level: Array = numpy.maximum(numpy.where(half < 0, below, above), self.least)
        return level


def _solved(surplus: Callable[[Array], tuple[Array, Array]], first: Array) -> Array:
    """The tilt [...] from which there is a surplus.

    Newton's steps, which climb from the first guess, since a surplus mostly rises ever slower; a halving or doubling
    wherever one of them would leave what is known, is no shorter than half the one before (where the surplus first
    rises ever faster, steps from both sides would trade places for good), or many of them got nowhere.

    Args:
        surplus: it and its slope; it rises with the tilt.
        first: a guess; 0 where there is nothing to find.
    """
    import numpy

    tilt, low, high = first, numpy.zeros_like(first), numpy.full_like(first, numpy.inf)
    before = high
    with numpy.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for step in range(STEPS):
            more, slope = surplus(tilt)
            low, high = numpy.where(more < 0, tilt, low), numpy.where(more < 0, high, tilt)
            newton = tilt - more / slope
            shorter = numpy.isinf(high) | (abs(newton - tilt) <= numpy.maximum(before / 2, 1e-13 * tilt))
            known = (newton >= low) & (newton <= high) & shorter
            after = numpy.where(known, newton, numpy.where(numpy.isinf(high), 2 * tilt, (low + high) / 2))
            if step > PATIENCE:
                after = numpy.where(numpy.isinf(high), numpy.maximum(after, 2 * tilt), after)
            after = numpy.minimum(after, STEEPEST)
            before = abs(after - tilt)
            if (before <= 1e-13 * tilt).all():
                break
            tilt = after
    return tilt


def _arrays(strata: Sequence[Stratum]) -> tuple[Array, Array, Array]:
    import numpy

    longest = max(len(stratum.values) for stratum in strata)
    values, counts = numpy.ones((2, len(strata), longest))
    counts[:] = 0
    for row, stratum in enumerate(strata):
        values[row, : len(stratum.values)] = stratum.values
        counts[row, : len(stratum.counts)] = stratum.counts
    return values, counts, numpy.array([float(stratum.weight) for stratum in strata])
