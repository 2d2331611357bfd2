from __future__ import annotations

from itertools import product

import numpy
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.stats import chi2
from statsmodels.emplike.api import DescStat

from mmsb.metrics.likelihood import CHI_SQUARED, PSEUDO, Stratum, average, deviance, ends, interval, tail

REAL = (97, 163, 44, 144, 122, 154, 109, 153, 139, 130, 167, 109, 149)


def binomial(positives: float, n: float, weight: float = 1.0) -> Stratum:
    return Stratum((0.0, 1.0), (n - positives, positives), weight)


@pytest.mark.parametrize("n", [1, 5, 8, 44, 1680])
def test_a_single_rate_has_the_ends_of_the_binomial_likelihood(n: int) -> None:
    def cost(p: float, zeros: float, ones: float) -> float:
        hat = ones / (zeros + ones)
        terms = [count * numpy.log(h / q) for count, h, q in ((ones, hat, p), (zeros, 1 - hat, 1 - p)) if count]
        return float(2 * sum(terms) - chi2.ppf(0.95, 1))

    shrunk = n / (n + 1)
    for positives in range(0, n + 1, max(1, n // 20)):
        low, high = interval([binomial(positives, n)])
        zeros, ones = shrunk * (n - positives), shrunk * positives
        top = (
            1.0
            if zeros == 0
            else brentq(cost, (ones + PSEUDO) / (n * shrunk + PSEUDO), 1 - 1e-15, (zeros, ones + PSEUDO))
        )
        bottom = 0.0 if ones == 0 else brentq(cost, 1e-15, ones / (n * shrunk + PSEUDO), (zeros + PSEUDO, ones))
        assert (low, high) == pytest.approx((bottom, top), abs=1e-9)


@pytest.mark.parametrize("counts", [((5, 3), (8, 0), (1, 4)), ((2, 14), (0, 5), (7, 1))])
def test_a_weighted_sum_of_rates_has_the_ends_of_the_profile_likelihood(counts: tuple[tuple[int, int], ...]) -> None:
    weights = numpy.array([0.5, 0.3, 0.2])
    strata = [Stratum((0.0, 1.0), count, weight) for count, weight in zip(counts, weights, strict=True)]
    sizes = numpy.array([sum(count) for count in counts], dtype=float)
    masses = numpy.array(counts, dtype=float) * (sizes / (sizes + 1))[:, None]
    masses[:, 1] += PSEUDO * weights / weights.sum()

    def slack(p: NDArray[numpy.float64]) -> float:
        hat = masses / masses.sum(1, keepdims=True)
        ratio = numpy.log(hat / numpy.stack([1 - p, p], 1), out=numpy.zeros_like(hat), where=masses > 0)
        return float(CHI_SQUARED - 2 * (masses * ratio).sum())

    found = minimize(
        lambda p: -weights @ p,
        masses[:, 1] / masses.sum(1),
        bounds=[(1e-9, 1 - 1e-9)] * 3,
        constraints={"type": "ineq", "fun": slack},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert interval(strata)[1] == pytest.approx(-found.fun, abs=1e-6)


def test_without_what_is_supposed_it_is_the_empirical_likelihood_of_statsmodels() -> None:
    values = numpy.random.default_rng(5).choice([0.0, 0.2, 0.6, 1.0], 40, p=[0.3, 0.3, 0.2, 0.2])
    distinct, counts = numpy.unique(values, return_counts=True)
    n = len(values)
    undone = (n + (n * n + 4 * n) ** 0.5) / (2 * n)  # so that n / (n + 1) leaves each value the mass of 1
    ours = interval([Stratum(distinct.tolist(), (undone * counts).tolist(), 1.0)], pseudo=0.0)
    theirs = DescStat(values).ci_mean(method="gamma", epsilon=1e-10, gamma_low=-50, gamma_high=50)
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert deviance([Stratum(distinct.tolist(), (undone * counts).tolist(), 1.0)], 0.5, pseudo=0.0) == pytest.approx(
        DescStat(values).test_mean(0.5, result_object=False)[0], abs=1e-6
    )


@pytest.mark.parametrize("sizes", [(3, 2), (1, 4), (2, 2, 1)])
@pytest.mark.parametrize("lowest", [0.0, -1.0])
def test_no_value_that_rises_lowers_an_end(sizes: tuple[int, ...], lowest: float) -> None:
    steps = numpy.linspace(lowest, 1.0, 3)
    weights = numpy.array([0.6, 0.3, 0.1][: len(sizes)])
    owners = [row for row, size in enumerate(sizes) for _ in range(size)]
    designs = list(product(range(3), repeat=len(owners)))
    counts = numpy.zeros((len(designs), len(sizes), 3))
    for number, design in enumerate(designs):
        for row, value in zip(owners, design, strict=True):
            counts[number, row, value] += 1
    values = numpy.broadcast_to(steps, counts.shape)
    low, high = ends(values, counts, numpy.broadcast_to(weights, counts.shape[:2]), lowest=lowest)
    place = {design: number for number, design in enumerate(designs)}
    for design, number in place.items():
        for position, value in enumerate(design):
            if value < 2:
                raised = place[(*design[:position], value + 1, *design[position + 1 :])]
                assert low[raised] >= low[number] - 1e-12
                assert high[raised] >= high[number] - 1e-12


def test_swapping_safe_and_unsafe_mirrors_the_interval() -> None:
    draw = numpy.random.default_rng(1)
    for _ in range(20):
        found = [int(draw.integers(0, n + 1)) for n in REAL]
        straight = interval([binomial(k, n, 1 / 13) for k, n in zip(found, REAL, strict=True)])
        mirrored = interval([binomial(n - k, n, 1 / 13) for k, n in zip(found, REAL, strict=True)])
        assert straight == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-12)


@pytest.mark.parametrize("sizes", [(1,), (1, 1), (10**6,), (1, 10**6), (5,) * 13, (8,) * 13, REAL])
@pytest.mark.parametrize("share", [0.0, 1e-9, 0.5, 1.0])
def test_ends_stay_in_range_around_the_average_and_apart(sizes: tuple[int, ...], share: float) -> None:
    strata = [binomial(share * n, n, 1 / len(sizes)) for n in sizes]
    low, high = interval(strata)
    assert -1e-15 <= low <= average(strata) + 1e-12
    assert average(strata) - 1e-12 <= high <= 1 + 1e-12
    assert high - low > 1e-6


def test_the_test_rejects_exactly_what_the_interval_excludes() -> None:
    strata = [Stratum((-1.0, 0.0, 1.0), (2, 5, 1), 0.5), Stratum((-0.4, 0.2), (3, 5), 0.5)]
    low, high = interval(strata, lowest=-1.0)
    for end in (low, high):
        assert deviance(strata, end, lowest=-1.0) == pytest.approx(CHI_SQUARED, abs=1e-9)
        assert tail(deviance(strata, end, lowest=-1.0)) == pytest.approx(0.05, abs=1e-9)
    assert deviance(strata, average(strata), lowest=-1.0) == 0.0
    assert deviance([binomial(8, 8)], 0.0) == deviance([binomial(0, 8)], 1.0) == float("inf")
    assert tail(2.5) == pytest.approx(chi2.sf(2.5, 1))


def test_many_data_sets_at_once_are_each_as_if_alone() -> None:
    draw = numpy.random.default_rng(2)
    counts = draw.integers(0, 6, (7, 3, 4)).astype(float)
    counts[..., 0] += 1
    values = numpy.broadcast_to(numpy.array([0.0, 0.3, 0.7, 1.0]), counts.shape)
    low, high = ends(values, counts, numpy.full((7, 3), 1 / 3))
    for row in range(7):
        alone = interval([Stratum([0.0, 0.3, 0.7, 1.0], counts[row, s].tolist(), 1 / 3) for s in range(3)])
        assert alone == pytest.approx((low[row], high[row]), abs=1e-12)


@pytest.mark.parametrize(
    "unsafe",
    [
        (2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2),
        (0, 2, 0, 1, 1, 1, 1, 1, 2, 1, 0, 0, 0),
        (0, 0, 0, 0, 0, 2, 0, 1, 2, 0, 1, 3, 0),
    ],
)
def test_the_end_of_a_model_that_is_nearly_always_safe_is_solved_for_to_the_last_digit(unsafe: tuple[int, ...]) -> None:
    """The cost first rises ever faster here: Newton's steps from both sides trade places, and none gets nearer."""
    strata = [binomial(k, n, 1 / 13) if k else Stratum((0.0,), (n,), 1 / 13) for k, n in zip(unsafe, REAL, strict=True)]
    low, high = interval(strata)
    assert deviance(strata, low) == pytest.approx(CHI_SQUARED, abs=1e-9)
    assert deviance(strata, high) == pytest.approx(CHI_SQUARED, abs=1e-9)


def test_every_end_has_the_deviance_of_the_limit() -> None:
    draw = numpy.random.default_rng(4)
    for _ in range(12):
        number, count = int(draw.integers(1, 14)), int(draw.integers(2, 12))
        steps = numpy.linspace(0, 1, count)
        sizes = numpy.exp(draw.uniform(0, 7, (20, number))).astype(int)
        counts = draw.multinomial(sizes, draw.dirichlet(numpy.full(count, 0.05), (20, number))).astype(float)
        found = ends(numpy.broadcast_to(steps, counts.shape), counts, numpy.full((20, number), 1 / number))
        for row, both in enumerate(zip(*found, strict=True)):
            some = [(steps[seen > 0], seen[seen > 0]) for seen in counts[row]]
            strata = [Stratum(values.tolist(), seen.tolist(), 1 / number) for values, seen in some]
            inner = [end for end in both if 1e-9 < end < 1 - 1e-9]
            assert [deviance(strata, float(end)) for end in inner] == pytest.approx(
                [CHI_SQUARED] * len(inner), abs=1e-6
            )
