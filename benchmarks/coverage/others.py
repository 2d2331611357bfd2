"""The usual methods, for comparison: a stratified percentile bootstrap, and Wilson's interval for pooled answers."""

from __future__ import annotations

import numpy

from benchmarks.coverage.cells import Array, Cell
from mmsb.metrics.likelihood import CHI_SQUARED

RESAMPLES = 499
BLOCK = 100


def bootstrap(cell: Cell, counts: Array) -> tuple[Array, Array]:
    """Percentiles of the average over resampled questions (Efron 1979); where no stratum varies, Wilson by MOVER."""
    draw = numpy.random.default_rng(5)
    low, high = numpy.empty((2, len(counts)))
    sizes = numpy.array(cell.sizes)
    for start in range(0, len(counts), BLOCK):
        some = counts[start : start + BLOCK]
        means = numpy.zeros((RESAMPLES, len(some)))
        for stratum, n in enumerate(sizes):
            shares = some[:, stratum] / n
            resampled = draw.multinomial(n, shares, (RESAMPLES, len(some))) @ cell.values / n
            means += cell.weights[stratum] * resampled
        low[start : start + BLOCK], high[start : start + BLOCK] = numpy.percentile(means, [2.5, 97.5], axis=0)
    constant = (counts.max(-1) == sizes).all(1)
    return _constant(cell, counts, constant, low, high)


def _constant(cell: Cell, counts: Array, where: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Strata that do not vary: each keeps Wilson's doubt, put together by MOVER (Zou and Donner 2008)."""
    doubt = CHI_SQUARED / (numpy.array(cell.sizes) + CHI_SQUARED)
    means = counts @ cell.values / numpy.array(cell.sizes)
    estimate = means @ cell.weights
    below, above = numpy.minimum(doubt, means - cell.lowest), numpy.minimum(doubt, 1 - means)
    reach = [numpy.sqrt((cell.weights**2 * arm**2).sum(-1)) for arm in (below, above)]
    return numpy.where(where, estimate - reach[0], low), numpy.where(where, estimate + reach[1], high)


def wilson(cell: Cell, counts: Array) -> tuple[Array, Array]:
    """Wilson's interval for all answers as if they were one sample."""
    n = counts[0].sum()
    share = counts[..., -1].sum(1) / n
    doubt = CHI_SQUARED / n
    centre = (share + doubt / 2) / (1 + doubt)
    half = numpy.sqrt(share * (1 - share) * doubt + doubt**2 / 4) / (1 + doubt)
    return centre - half, centre + half
