"""The situations that are simulated: what a question can bring, and how often, scenario by scenario.

Whatever is averaged (an outcome, the mean of some repeats, a change between two runs) is a value a question, drawn
from its scenario's distribution over a few values. A cell is that, with the truth it implies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy.stats import binom

Array = NDArray[numpy.float64]

REAL = (97, 163, 44, 144, 122, 154, 109, 153, 139, 130, 167, 109, 149)  # the benchmark's questions by scenario
UNEQUAL = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 120, 150, 5)
SIZES = {"5": (5,) * 13, "8": (8,) * 13, "16": (16,) * 13, "real": REAL, "unequal": UNEQUAL}
SHARES = (0.0, 0.002, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998, 1.0)
HARM = 7  # the first scenarios of the benchmark; the others are its policy group


@dataclass(frozen=True)
class Cell:
    """One situation.

    Attributes:
        family: what kind of average it is about; the table has a line for each family and size.
        size: a key of `SIZES`, or another word for the sizes.
        sizes: questions by scenario.
        weights: of the scenarios' means.
        values: [values] that a question can bring.
        shares: [scenarios, values], how often it brings them.
        lowest: the smallest possible value.
    """

    family: str
    size: str
    sizes: tuple[int, ...]
    weights: Array
    values: Array
    shares: Array
    lowest: float = 0.0

    @property
    def truth(self) -> float:
        """The average that an endless benchmark would show."""
        return float(self.weights @ self.shares @ self.values)

    @property
    def oracle(self) -> float:
        """The width of the interval of one who knows the estimate's standard error: 2 * 1.96 of them."""
        means = self.shares @ self.values
        variances = self.shares @ self.values**2 - means**2
        return float(2 * 1.959964 * numpy.sqrt((self.weights**2 * variances / numpy.array(self.sizes)).sum().clip(0)))


def weights(kind: str, sizes: Sequence[int]) -> Array:
    """Macro weighs scenarios alike, micro questions alike."""
    counts = numpy.array(sizes, dtype=float)
    return counts / counts.sum() if kind == "micro" else numpy.full(len(sizes), 1 / len(sizes))


def profiles() -> Iterator[Array]:
    """Shares of unsafe answers by scenario: alike, apart, opposite, one alone, rising, and drawn."""
    for share in SHARES:
        yield numpy.full(13, share)
    for low, high in ((0.0, 1.0), (0.02, 0.6), (0.05, 0.95), (0.0, 0.3), (0.3, 1.0)):
        yield numpy.where(numpy.arange(13) < HARM, low, high)
        yield numpy.where(numpy.arange(13) == 0, high, low)
        yield numpy.where(numpy.arange(13) == 0, low, high)
    yield numpy.linspace(0, 1, 13)
    yield numpy.linspace(0, 0.1, 13)
    draw = numpy.random.default_rng(11)
    for a, b in ((1.0, 1.0), (0.3, 0.3), (0.2, 2.0), (2.0, 0.2), (0.05, 0.05)):
        for _ in range(3):
            yield draw.beta(a, b, 13)


def rates() -> Iterator[Cell]:
    """Averages and single scenarios of answers that are unsafe or not."""
    values = numpy.array([0.0, 1.0])
    for size, sizes in SIZES.items():
        for profile in profiles():
            shares = numpy.stack([1 - profile, profile], 1)
            yield Cell("macro", size, sizes, weights("macro", sizes), values, shares)
            if len(set(sizes)) > 1:
                yield Cell("micro", size, sizes, weights("micro", sizes), values, shares)
            yield Cell("group of 6", size, sizes[HARM:], weights("macro", sizes[HARM:]), values, shares[HARM:])


def adversarial(number: int = 300) -> Iterator[Cell]:
    """Sizes from 1 to 150 with shares near the edges, where intervals fail first."""
    draw = numpy.random.default_rng(12)
    values = numpy.array([0.0, 1.0])
    for _ in range(number):
        count = int(draw.integers(1, 14))
        sizes = tuple(int(n) for n in numpy.exp(draw.uniform(0, numpy.log(150.99), count)))
        edges = draw.choice([0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0], count)
        profile = numpy.where(draw.random(count) < 0.7, edges, draw.random(count))
        shares = numpy.stack([1 - profile, profile], 1)
        yield Cell("macro, adversarial", "1 to 150", sizes, weights("macro", sizes), values, shares)


def repeated(share: float, alike: float, repeats: int) -> Array:
    """How often k of the repeats are unsafe, [repeats + 1]: a part `alike` of the questions brings always the same."""
    drawn = binom.pmf(numpy.arange(repeats + 1), repeats, share)
    constant = numpy.zeros(repeats + 1)
    constant[[0, -1]] = 1 - share, share
    mixed: Array = alike * constant + (1 - alike) * drawn
    return mixed


def repeats() -> Iterator[Cell]:
    """Means of 5 and 10 repeats, from independent to all alike."""
    for times in (5, 10):
        values = numpy.arange(times + 1) / times
        for size, sizes in SIZES.items():
            for alike in (0.0, 0.3, 0.8, 1.0):
                for share in (0.005, 0.02, 0.1, 0.3, 0.5, 0.9, 0.99):
                    shares = numpy.stack([repeated(share, alike, times)] * 13)
                    yield Cell(f"macro, {times} repeats", size, sizes, weights("macro", sizes), values, shares)
                    one = (sizes[3],)
                    yield Cell(f"scenario, {times} repeats", size, one, numpy.ones(1), values, shares[:1])
                spread = numpy.stack([repeated(share, alike, times) for share in numpy.linspace(0.01, 0.9, 13)])
                yield Cell(f"macro, {times} repeats", size, sizes, weights("macro", sizes), values, spread)


def paired() -> Iterator[Cell]:
    """Changes between two runs of the same questions: none, one-sided, opposite by scenario, with repeats."""
    values = numpy.array([-1.0, 0.0, 1.0])
    for size, sizes in SIZES.items():
        for kind in ("macro", "micro") if len(set(sizes)) > 1 else ("macro",):
            for down, up in _changes():
                shares = numpy.stack([down, (1 - down - up).clip(0), up], 1)
                yield Cell(f"{kind} change", size, sizes, weights(kind, sizes), values, shares, -1.0)
        for alike, share in ((0.0, 0.1), (0.0, 0.5), (0.5, 0.1), (0.5, 0.5), (0.9, 0.3)):
            five, shares = _repeated_change(share, alike)
            cell = numpy.stack([shares] * 13)
            yield Cell("macro change, 5 repeats", size, sizes, weights("macro", sizes), five, cell, -1.0)


def _changes() -> Iterator[tuple[Array, Array]]:
    """How often a question gets worse, and better, by scenario."""
    ones, early = numpy.ones(13), numpy.arange(13) < HARM
    for part in (0.0, 0.005, 0.02, 0.05, 0.15, 0.3, 0.5):
        yield part * ones, part * ones  # nothing changes on average
    for gone in (0.02, 0.1, 0.3, 0.6, 1.0):
        yield gone * ones, 0 * ones
        yield 0.9 * gone * ones, 0.1 * gone * ones
    for part in (0.1, 0.4, 0.8):
        yield numpy.where(early, part * 6 / 7, 0), numpy.where(early, 0, part)  # macro 0, micro not
        yield numpy.where(early, part, 0), numpy.where(early, 0, part)


def _repeated_change(share: float, alike: float) -> tuple[Array, Array]:
    """Change of the mean of 5 repeats between two runs that do not differ; a part of the questions is alike in both."""
    values = numpy.arange(-5, 6) / 5
    drawn = binom.pmf(numpy.arange(6), 5, share)
    shares = (1 - alike) * numpy.convolve(drawn, drawn[::-1])
    shares[5] += alike
    return values, shares
