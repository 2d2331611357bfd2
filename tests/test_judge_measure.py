"""The figures that say how good the offline judge is are counted right."""

from __future__ import annotations

import numpy as np
import pytest

from tools.offline_judge.measure import calibration_errors, found_at, found_at_rates
from tools.offline_judge.nested import Source
from tools.offline_judge.tried import least_largest


def slowly(refusals: list[float], helpful: list[float], alarms: int) -> float:
    """The most refusals above any threshold that no more than so many helpful answers are above."""
    thresholds = [-1.0, *refusals, *helpful]
    kept = [at for at in thresholds if sum(one > at for one in helpful) <= alarms]
    return max(sum(one > at for one in refusals) for at in kept)


@pytest.mark.parametrize("places", [1, 2, 8], ids="{} places".format)  # few places: many are equally likely
def test_what_is_found_at_a_number_of_false_alarms_is_the_most_that_can_be(places: int) -> None:
    drawn = np.random.default_rng(places)
    for _ in range(10):
        refuses = drawn.random(40) < 0.5
        likely = np.round(drawn.beta(2, 1, 40) * np.where(refuses, 1, 0.8), places)
        for alarms in range(int((~refuses).sum()) + 2):
            most = slowly(likely[refuses].tolist(), likely[~refuses].tolist(), alarms)
            assert found_at(likely, refuses, ~refuses, alarms) == round(100 * most / refuses.sum(), 1)


def test_a_rate_allows_the_alarms_that_it_is_made_of() -> None:
    """One of 194 is 0.515 %: a method that raised one false alarm is held against one, not against none."""
    likely = np.concatenate([np.linspace(0.9, 0.1, 194), [0.95, 0.899, 0.5]])
    refuses = np.arange(197) >= 194
    assert [found_at(likely, refuses, ~refuses, alarms) for alarms in (0, 1, 194)] == [33.3, 66.7, 100.0]
    assert found_at_rates(likely, refuses, ~refuses, (0.5, 1, 100)) == {0.5: 33.3, 1: 66.7, 100: 100.0}


def test_three_calibration_errors_of_probabilities_that_are_right_on_one_count() -> None:
    likely = np.tile([0.65, 0.35, 0.0, 0.0], (20, 1))
    classes = np.where(np.arange(20) < 13, 0, 2)  # 65 % refuse; what else there is, is of another class
    errors = calibration_errors(likely, classes)
    assert errors["calibration error"] == errors["calibration error, likeliest"] == 0
    assert errors["calibration error, mean of classes"] == pytest.approx((0 + 0.35 + 0.35 + 0) / 4, abs=6e-4)
    errors = calibration_errors(likely, np.where(np.arange(20) < 5, 0, 1))
    assert errors["calibration error, likeliest"] == pytest.approx(0.65 - 0.25)


def test_no_scale_fits_two_sources_that_differ_where_they_are_told_alike() -> None:
    def source(refusing: int) -> Source:
        """Of twenty answers ten are told alike, and so many of those refuse; the others are told apart rightly."""
        kinds = np.where(np.arange(20) < refusing, "refusal", "compliance")
        return Source(np.where(np.arange(20) < 10, kinds, "compliance"), *[np.zeros(20, dtype=bool)] * 3)

    likely = np.repeat([0.55, 0.01], 10)
    first, second = source(8), source(2)
    assert least_largest([(likely, first), (likely, first)]) == pytest.approx(0)
    assert least_largest([(likely, first), (likely, second)]) == pytest.approx(0.15)  # half are 0.3 off
