"""What needs no simulation: a single rate's coverage by enumeration, and a search for violations of monotonicity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from scipy.stats import binom

from benchmarks.coverage.cells import SIZES, Array
from mmsb.metrics.likelihood import CHI_SQUARED, ends

NS = (5, 8, 16, 44, 150, 1681)
ALONE = (("8", 0), ("16", 0), ("unequal", 4), ("unequal", 10), ("real", 2), ("real", 1))  # sizes, the one that varies


def single_rates(sizes: Sequence[int] = NS) -> list[tuple[int, float, float]]:
    """For each number of questions: the least coverage over all true shares, of this project's interval and Wilson's.

    Coverage as a function of the truth jumps down just inside the intervals' ends, so that these are looked at.
    """
    found = []
    for n in sizes:
        positives = numpy.arange(n + 1)
        counts = numpy.stack([n - positives, positives], 1)[:, None].astype(float)
        low, high = ends(
            numpy.broadcast_to(numpy.array([0.0, 1.0]), counts.shape), counts, numpy.ones((n + 1, 1)), lowest=0.0
        )
        share, doubt = positives / n, CHI_SQUARED / n
        half = numpy.sqrt(share * (1 - share) * doubt + doubt**2 / 4)
        theirs = (share + doubt / 2 - half) / (1 + doubt), (share + doubt / 2 + half) / (1 + doubt)
        found.append((n, _least(low, high), _least(*theirs)))
    return found


def alone(situations: Sequence[tuple[str, int]] = ALONE) -> list[tuple[str, int, float, float]]:
    """Where one scenario's rate is between 0 and 1 and all others' are exactly 0: the hardest case for a shared mass.

    Returns:
        The key of the sizes, the scenario's questions, the least coverage over its true rates, and the rate of that.
    """
    found = []
    for size, one in situations:
        sizes = numpy.array(SIZES[size], dtype=float)
        n, number = int(sizes[one]), len(sizes)
        counts = numpy.stack([numpy.broadcast_to(sizes, (n + 1, number)), numpy.zeros((n + 1, number))], 2)
        counts[:, one] = numpy.stack([n - numpy.arange(n + 1), numpy.arange(n + 1)], 1)
        weights = numpy.full((n + 1, number), 1 / number)
        low, high = ends(numpy.broadcast_to(numpy.array([0.0, 1.0]), counts.shape), counts, weights)
        found.append((size, n, *_worst(number * low, number * high)))
    return found


def _least(low: Array, high: Array) -> float:
    return _worst(low, high)[0]


def _worst(low: Array, high: Array) -> tuple[float, float]:
    """The least coverage, and the truth that has it, of a binomial share with these ends by positives, [n + 1]."""
    n = len(low) - 1
    truths = numpy.unique(numpy.concatenate([low - 1e-9, low + 1e-9, high - 1e-9, high + 1e-9]).clip(1e-12, 1 - 1e-12))
    return min(
        (float(binom.pmf(numpy.flatnonzero((low <= truth) & (truth <= high)), n, truth).sum()), float(truth))
        for truth in truths
    )


def violations(designs: int = 2000, seed: int = 3) -> tuple[int, int]:
    """How often an end fell when one question's value rose, in how many drawn designs of all sizes."""
    draw = numpy.random.default_rng(seed)
    steps = numpy.array([0.0, 0.25, 0.5, 0.75, 1.0])
    counts = draw.multinomial(1, draw.dirichlet(numpy.full(5, 0.4), (designs, 13))).astype(float)
    counts += draw.multinomial(draw.integers(0, 40, (designs, 13)), draw.dirichlet(numpy.full(5, 0.4), (designs, 13)))
    raised = counts.copy()
    rows, strata = numpy.arange(designs), draw.integers(0, 13, designs)
    lowest = (counts[rows, strata] > 0).argmax(-1)
    higher = numpy.minimum(lowest + draw.integers(1, 5, designs), 4)
    raised[rows, strata, lowest] -= 1
    raised[rows, strata, higher] += 1
    weights = numpy.full((designs, 13), 1 / 13)
    found = 0
    for bottom in (0.0, -1.0):
        values = numpy.broadcast_to(bottom + (1 - bottom) * steps, counts.shape)
        before, after = (ends(values, some, weights, lowest=bottom) for some in (counts, raised))
        found += sum(int((new < old - 1e-10).sum()) for old, new in zip(before, after, strict=True))
    return found, 2 * designs
