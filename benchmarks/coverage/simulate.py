"""Draw a cell's data many times and hold each interval and each test against the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy.stats import binom

from benchmarks.coverage.cells import Array, Cell
from mmsb.metrics.likelihood import CHI_SQUARED, deviances, ends

Interval = Callable[[Cell, Array], tuple[Array, Array]]
EXACT = 1e-9  # what rounding may do to an end


@dataclass(frozen=True)
class Found:
    """What one cell's replications showed.

    Attributes:
        coverage: share of intervals that hold the truth.
        width: mean width in the oracle's widths; None where the oracle knows the answer without data.
        broken: intervals of no width, or with an end outside the range.
        deviance_rejects: share of rejections at 5 % by the deviance where nothing differs; None where something does.
        sign_rejects: likewise by exact McNemar on questions, where as many questions rise as fall.
    """

    cell: Cell
    coverage: float
    width: float | None
    broken: int
    deviance_rejects: float | None
    sign_rejects: float | None


def drawn(cell: Cell, replications: int, seed: int) -> Array:
    """Counts [replications, scenarios, values]."""
    draw = numpy.random.default_rng(seed)
    counts = [draw.multinomial(n, shares, replications) for n, shares in zip(cell.sizes, cell.shares, strict=True)]
    return numpy.stack(counts, 1).astype(float)


def likelihood(cell: Cell, counts: Array) -> tuple[Array, Array]:
    """This project's interval; equal data are solved once."""
    distinct, places = numpy.unique(counts.reshape(len(counts), -1), axis=0, return_inverse=True)
    distinct = distinct.reshape(-1, *counts.shape[1:])
    values = numpy.broadcast_to(cell.values, distinct.shape)
    low, high = ends(values, distinct, numpy.broadcast_to(cell.weights, distinct.shape[:2]), lowest=cell.lowest)
    return low[places], high[places]


def simulated(cell: Cell, replications: int, seed: int, interval: Interval = likelihood) -> Found:
    """Measure a cell.

    Args:
        cell: the situation.
        replications: how many data sets.
        seed: of the draws.
        interval: the method.
    """
    counts = drawn(cell, replications, seed)
    low, high = interval(cell, counts)
    covered = (low - EXACT <= cell.truth) & (cell.truth <= high + EXACT)
    outside = (low < cell.lowest - EXACT) | (high > 1 + EXACT)
    broken = int((outside | (high - low <= EXACT)).sum())
    width = float((high - low).mean()) / cell.oracle if cell.oracle > EXACT else None
    return Found(cell, float(covered.mean()), width, broken, *_rejections(cell, counts, interval))


def _rejections(cell: Cell, counts: Array, interval: Interval) -> tuple[float | None, float | None]:
    if cell.lowest == 0 or interval is not likelihood:
        return None, None
    means = cell.shares @ cell.values
    nothing = abs(cell.truth) < EXACT
    up, down = (counts[..., mask].sum((1, 2)).astype(int) for mask in (cell.values > 0, cell.values < 0))
    signs = float((mcnemar(up, down) <= 0.05).mean()) if (abs(means) < EXACT).all() else None
    return (float((_deviance_at_zero(cell, counts) >= CHI_SQUARED).mean()) if nothing else None), signs


def _deviance_at_zero(cell: Cell, counts: Array) -> Array:
    averages = (counts @ cell.values / numpy.array(cell.sizes)) @ cell.weights
    signs = numpy.where(averages > 0, -1.0, 1.0)  # the test looks from the estimate towards 0
    values = signs[:, None, None] * numpy.broadcast_to(cell.values, counts.shape)
    return deviances(values, counts, numpy.broadcast_to(cell.weights, counts.shape[:2]), 0.0)


def mcnemar(up: NDArray[numpy.int_], down: NDArray[numpy.int_]) -> Array:
    """McNemar's exact p."""
    p: Array = numpy.minimum(1.0, 2 * binom.cdf(numpy.minimum(up, down), up + down, 0.5))
    return p
