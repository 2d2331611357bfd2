"""Rates and their 95 % intervals.

Two formulas stand here although scipy has them: importing `scipy.stats` takes longer than everything else that a
finished run does when it is started again. Tests hold them to scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
RESAMPLES = 4_999
TAILS = (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE))  # percentiles


@dataclass(frozen=True, slots=True)
class Rate:
    """A share in [0, 1] with its 95 % interval; `n` is what it is a share of."""

    value: float
    low: float
    high: float
    n: int


def wilson(positives: int, n: int) -> Rate | None:
    """A share of independent trials with Wilson's score interval (Wilson 1927); None where n is 0."""
    if n == 0:
        return None
    share, doubt = positives / n, Z**2 / n
    centre = (share + doubt / 2) / (1 + doubt)
    half = math.sqrt(share * (1 - share) * doubt + doubt**2 / 4) / (1 + doubt)
    return Rate(share, 0.0 if positives == 0 else centre - half, 1.0 if positives == n else centre + half, n)


def macro_average(strata: Sequence[Sequence[float]], seed: int = 0, lowest: float = 0.0) -> Rate | None:
    """The unweighted mean of the strata's means, with a stratified percentile bootstrap (Efron 1979).

    Args:
        strata: one list of values in [`lowest`, 1] per scenario; the bootstrap draws within each.
        seed: of the resampling, so that the same results give the same interval.
        lowest: the smallest possible value: 0 for rates, -1 for changes.

    Returns:
        None where every stratum is empty; empty strata are left out. Where no stratum varies, resampling would
        claim certainty; the interval is then put together from Wilson's for each stratum (MOVER, Zou and
        Donner 2008).
    """
    filled = [values for values in strata if len(values)]
    if not filled:
        return None
    if all(len(set(values)) == 1 for values in filled):
        return _constant(filled, lowest)
    import numpy

    draw = numpy.random.default_rng(seed)
    value = float(numpy.mean([numpy.mean(values) for values in filled]))
    drawn = numpy.mean([resampled_means(values, RESAMPLES, draw) for values in filled], axis=0)
    low, high = numpy.percentile(drawn, TAILS)
    return Rate(value, float(low), float(high), sum(map(len, filled)))


def resampled_means(values: Sequence[float], resamples: int, draw: Any) -> Any:
    """Means [resamples] of values drawn with replacement, as many as there are.

    Drawn as counts of the distinct values, which is the same and hundreds of times faster where these are few.

    Args:
        values: of one stratum.
        resamples: how many means.
        draw: numpy's random generator.
    """
    import numpy

    distinct, counts = numpy.unique(numpy.asarray(values, dtype=float), return_counts=True)
    return draw.multinomial(len(values), counts / len(values), resamples) @ distinct / len(values)


def _constant(strata: Sequence[Sequence[float]], lowest: float) -> Rate:
    """The mean of strata that do not vary: n times the same value still leaves Wilson's doubt."""
    values = [stratum[0] for stratum in strata]
    doubts = [wilson_doubt(len(stratum)) for stratum in strata]
    below = sum((value - max(lowest, value - doubt)) ** 2 for value, doubt in zip(values, doubts, strict=True))
    above = sum((min(1.0, value + doubt) - value) ** 2 for value, doubt in zip(values, doubts, strict=True))
    mean, count = sum(values) / len(values), len(values)
    return Rate(mean, mean - below**0.5 / count, mean + above**0.5 / count, sum(map(len, strata)))


def wilson_doubt(n: int) -> float:
    """The upper end of Wilson's interval for 0 of n."""
    rate = wilson(0, n)
    return rate.high if rate else 1.0
