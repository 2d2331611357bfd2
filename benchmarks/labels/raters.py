"""Kappa and alpha of raters who agree little or well, on few items and many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy
from scipy.stats import binom

from mmsb.metrics.agreement import alpha_of_counts, alpha_of_kinds, kappa_of_counts, kappa_of_tables
from mmsb.metrics.rates import Rate

RATERS = 3


@dataclass(frozen=True)
class Raters:
    """A situation: shares of the kinds of items, `kinds` of them (safe, unsafe) labels for alpha."""

    coefficient: str
    name: str
    n: int
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Told:
    """What a situation showed: coverage where the coefficient is defined, the share of that, intervals of no width."""

    cell: Raters
    coverage: float
    defined: float
    broken: int


def cells(sizes: tuple[int, ...] = (20, 50, 200)) -> Iterator[Raters]:
    """Two raters with errors of their own on a share p of unsafe items; three with the same errors."""
    for n in sizes:
        for p in (0.1, 0.3, 0.5):
            for right in (0.6, 0.75, 0.9, 0.97):
                name = f"p {p:g}, right {right:g}"
                unsafe, safe = (numpy.array([1 - q, q]) for q in (right, 1 - right))
                table = p * numpy.outer(unsafe, unsafe) + (1 - p) * numpy.outer(safe, safe)
                yield Raters("kappa", name, n, tuple(table.ravel()))
                votes = range(RATERS + 1)
                mixed = p * binom.pmf(votes, RATERS, right) + (1 - p) * binom.pmf(votes, RATERS, 1 - right)
                yield Raters("alpha", name, n, tuple(mixed))


@cache
def found(coefficient: str, counts: tuple[int, ...]) -> Rate | None:
    """The product's interval."""
    if coefficient == "kappa":
        return kappa_of_counts(counts)
    return alpha_of_kinds({(RATERS - unsafe, unsafe): count for unsafe, count in enumerate(counts) if count})


def simulated(cell: Raters, replications: int, seed: int) -> Told:
    """Measure a situation. The truth is the coefficient of endlessly many such items."""
    many = numpy.array([cell.shares]) * 1e9
    kinds = [(RATERS - unsafe, unsafe) for unsafe in range(RATERS + 1)]
    truth = float((kappa_of_tables(many) if cell.coefficient == "kappa" else alpha_of_counts(kinds, many))[0])
    draws = numpy.random.default_rng(seed).multinomial(cell.n, cell.shares, replications)
    rates = [rate for counts in draws.tolist() if (rate := found(cell.coefficient, tuple(counts)))]
    held = sum(rate.low <= truth <= rate.high for rate in rates)
    broken = sum(rate.high - rate.low < 1e-9 for rate in rates)
    return Told(cell, held / len(rates), len(rates) / replications, broken)
