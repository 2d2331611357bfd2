"""Labels drawn from the run itself: rates and differences, two designs, judges good and bad.

Counts stand for answers, so that thousands of runs are corrected in one call; a test holds this to what the product
does with the answers themselves. Axes: replications, scenarios, as judged (J), truly (Y).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from benchmarks.coverage.cells import REAL
from mmsb.labels.draw import LEAST
from mmsb.metrics.likelihood import ends
from mmsb.metrics.rates import Z
from mmsb.metrics.two_phase import ENOUGH

Array = NDArray[numpy.float64]
Counts = NDArray[numpy.int64]

SIZES = numpy.array(REAL)
SCENARIOS = len(REAL)
POLICY = numpy.array([7, 9, 10, 11, 12])  # the benchmark's policy scenarios, counted from 0
GROUPS = (numpy.setdiff1d(numpy.arange(SCENARIOS), POLICY), POLICY)
IS_HARM = numpy.isin(numpy.arange(SCENARIOS), GROUPS[0])
RATE, CHANGE = numpy.array([0.0, 1.0]), numpy.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True)
class Cell:
    """A situation.

    Attributes:
        name: of the profile of true rates.
        judge: its name.
        by: the design of the draw.
        size: how many labels.
        shares: [scenarios, J, Y] of answers.
        values: what J and Y count.
    """

    name: str
    judge: str
    by: str
    size: int
    shares: Array
    values: Array

    @property
    def truth(self) -> float:
        """The true average over scenarios."""
        return float((self.shares.sum(1) @ self.values).mean())


@dataclass(frozen=True)
class Found:
    """What a cell showed: coverage, median width, intervals of no width or outside the range."""

    cell: Cell
    coverage: float
    width: float
    broken: int


def judges() -> dict[str, tuple[Array, Array]]:
    """Sensitivity and specificity by scenario."""
    draw = numpy.random.default_rng(5)
    flat = {"0.95/0.95": (0.95, 0.95), "0.88/0.47": (0.88, 0.47), "0.99/0.80": (0.99, 0.80)}
    found = {name: (numpy.full(SCENARIOS, a), numpy.full(SCENARIOS, b)) for name, (a, b) in flat.items()}
    varied = draw.normal(0.85, 0.12, SCENARIOS).clip(0.4, 1), draw.normal(0.8, 0.15, SCENARIOS).clip(0.3, 1)
    return {**found, "by scenario": varied}


def profiles() -> dict[str, Array]:
    """True rates by scenario."""
    draw = numpy.random.default_rng(6)
    flat = {f"{p:g}": numpy.full(SCENARIOS, p) for p in (0.0, 0.02, 0.1, 0.3, 0.5, 0.9)}
    mixed = {
        "harm 0.2, policy 0.8": numpy.where(IS_HARM, 0.2, 0.8),
        "harm 0.02, policy 0.98": numpy.where(IS_HARM, 0.02, 0.98),
    }
    return {**flat, **mixed, "0 to 1": numpy.linspace(0, 1, SCENARIOS), "drawn": draw.beta(0.5, 0.5, SCENARIOS)}


def rates(sizes: tuple[int, ...] = (50, 100, 200, 400)) -> Iterator[Cell]:
    """A run's rates."""
    for by in ("random", "cells"):
        for size in sizes if by == "random" else [size for size in sizes if size >= 2 * LEAST * SCENARIOS]:
            for judge, (sensitivity, specificity) in judges().items():
                for name, p in profiles().items():
                    yes, no = (
                        numpy.stack([1 - sensitivity, sensitivity], 1),
                        numpy.stack([specificity, 1 - specificity], 1),
                    )
                    shares = numpy.stack([(1 - p)[:, None] * no, p[:, None] * yes], 2)
                    yield Cell(name, judge, by, size, shares, RATE)


def differences(size: int = 200) -> Iterator[Cell]:
    """Two runs of the same questions: the second keeps a part of the unsafe answers and adds some."""
    moves = {"none": (1.0, 0.0), "half as many": (0.5, 0.0), "a tenth": (0.1, 0.0), "both ways": (0.7, 0.2)}
    for by in ("random", "cells"):
        for judge, (sensitivity, specificity) in judges().items():
            for move, (kept, added) in moves.items():
                p = profiles()["harm 0.2, policy 0.8"]
                shares = numpy.zeros((SCENARIOS, 3, 3))
                for first in (0, 1):
                    for second in (0, 1):
                        stay = (kept if second else 1 - kept) if first else (added if second else 1 - added)
                        true = (p if first else 1 - p) * stay
                        for said in (0, 1):
                            for said_then in (0, 1):
                                one, other = (
                                    numpy.where(s, sensitivity, 1 - sensitivity)
                                    if y
                                    else numpy.where(s, 1 - specificity, specificity)
                                    for y, s in ((first, said), (second, said_then))
                                )
                                shares[:, 1 + said_then - said, 1 + second - first] += true * one * other
                yield Cell(move, judge, by, size, shares, CHANGE)


def drawn(cell: Cell, replications: int, seed: int) -> tuple[Counts, Counts]:
    """Answers and labelled answers, both [replications, scenarios, J, Y]."""
    draw = numpy.random.default_rng(seed)
    kinds = cell.shares.shape[1:]
    flat = cell.shares.reshape(SCENARIOS, -1)
    whole = numpy.stack([draw.multinomial(n, p, replications) for n, p in zip(SIZES, flat, strict=True)], 1)
    answers = whole.reshape(replications, SCENARIOS, *kinds)
    if cell.by == "random":
        sample = taken(draw, answers.reshape(replications, -1), numpy.full(replications, cell.size))
    else:
        strata = answers.reshape(-1, kinds[1])
        sample = taken(draw, strata, allocated(answers.sum(3).reshape(replications, -1), kinds[0], cell.size).ravel())
    return answers, sample.reshape(answers.shape)


def taken(draw: numpy.random.Generator, counts: Counts, sizes: Counts) -> Counts:
    """So many drawn without replacement from each row's kinds."""
    left, rest, found = sizes.copy(), counts.sum(1), numpy.zeros_like(counts)
    for kind in range(counts.shape[1]):
        rest = rest - counts[:, kind]
        found[:, kind] = draw.hypergeometric(counts[:, kind], rest, left)
        left = left - found[:, kind]
    return found


def allocated(sizes: Counts, verdicts: int, size: int) -> Counts:
    """As `mmsb.labels.draw.allocated`, for many runs [replications, scenarios * verdicts] at once."""
    roots = numpy.sqrt(sizes)
    by_scenario = roots.reshape(len(sizes), -1, verdicts)
    wishes = (by_scenario / by_scenario.sum(2, keepdims=True)).reshape(sizes.shape)
    given = numpy.zeros_like(sizes)
    lines = numpy.arange(len(sizes))
    for _ in range(size):
        urgent = numpy.where(given < LEAST, 1e6, 0.0) + wishes / (2 * given + 1)
        chosen = numpy.where(given < sizes, urgent, -1.0).argmax(1)
        given[lines, chosen] += 1
    return given


def corrected(cell: Cell, answers: Counts, labels: Counts) -> tuple[Array, Array, Array]:
    """Value and ends, each [replications]."""
    there, n = answers.sum(3), labels.sum(3)
    per_answer = (1 / SCENARIOS / SIZES)[None, :, None]
    chance = numpy.full(n.shape, cell.size / SIZES.sum()) if cell.by == "random" else n / numpy.maximum(there, 1)
    weight = per_answer / numpy.where(chance > 0, chance, 1)
    coarse, seen = _coarse_means(cell, weight, labels)
    fallback = numpy.where(seen, coarse, cell.values)
    expected = numpy.where(IS_HARM[None, :, None], fallback[:, :1], fallback[:, 1:])
    fine = (cell.by == "cells") & (n.sum((1, 2)) >= ENOUGH * (there > 0).sum((1, 2)))
    means = numpy.where(n > 0, labels @ cell.values / numpy.maximum(n, 1), expected)
    used = numpy.where(fine[:, None, None], means, expected)
    value = (per_answer * there * used).sum((1, 2))
    low, high = numpy.zeros((2, len(value)))
    for mask, solve in ((fine, _fine), (~fine, _coarse)):
        if mask.any():
            low[mask], high[mask] = solve(cell, per_answer * there[mask], weight[mask], labels[mask])
    mean = (there * expected).sum(2) / SIZES
    variance = ((there * expected**2).sum(2) / SIZES - mean**2) / SIZES / SCENARIOS**2
    run = Z * numpy.sqrt(variance.clip(min=0).sum(1))
    below, above = (value - low).clip(min=0), (high - value).clip(min=0)
    return (
        value,
        (value - numpy.sqrt(below**2 + run**2)).clip(min=cell.values[0]),
        (value + numpy.sqrt(above**2 + run**2)).clip(max=1),
    )


def _coarse_means(cell: Cell, weight: Array, labels: Counts) -> tuple[Array, NDArray[numpy.bool_]]:
    """Each group's and verdict's mean [replications, groups, J], and where there is one."""
    whole = numpy.stack([(weight * labels.sum(3))[:, group].sum(1) for group in GROUPS], 1)
    total = numpy.stack([(weight * (labels @ cell.values))[:, group].sum(1) for group in GROUPS], 1)
    return total / numpy.where(whole > 0, whole, 1), whole > 0


def _fine(cell: Cell, shares: Array, _: Array, labels: Counts) -> tuple[Array, Array]:
    strata = labels.reshape(len(labels), -1, len(cell.values)).astype(float)
    return _solved(cell, strata, shares.reshape(len(labels), -1))


def _coarse(cell: Cell, shares: Array, weight: Array, labels: Counts) -> tuple[Array, Array]:
    masses, whole = [], []
    for group in GROUPS:
        some, each = labels[:, group], weight[:, group]
        n = some.sum(3)
        squares = (each**2 * n).sum(1)
        scale = (each * n).sum(1) / numpy.where(squares > 0, squares, 1)
        masses.append((each[..., None] * some).sum(1) * scale[..., None])
        whole.append(shares[:, group].sum(1))
    return _solved(cell, numpy.concatenate(masses, 1), numpy.concatenate(whole, 1))


def _solved(cell: Cell, counts: Array, weights: Array) -> tuple[Array, Array]:
    empty = counts.sum(2) == 0
    held = numpy.where(empty[..., None], 1e-12, counts)
    values = numpy.broadcast_to(cell.values, held.shape)
    low, high = ends(values, held, numpy.where(empty, 0.0, weights), lowest=cell.values[0])
    free = (weights * empty).sum(1)
    return low + cell.values[0] * free, high + free


def simulated(cell: Cell, replications: int, seed: int) -> Found:
    """Measure a cell."""
    _, low, high = corrected(cell, *drawn(cell, replications, seed))
    held = (low - 1e-9 <= cell.truth) & (cell.truth <= high + 1e-9)
    broken = (high - low < 1e-9) | (low < cell.values[0]) | (high > 1)
    return Found(cell, float(held.mean()), float(numpy.median(high - low)), int(broken.sum()))
