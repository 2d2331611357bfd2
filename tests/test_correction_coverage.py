"""The corrected intervals cover the truth: a slice of python -m benchmarks.labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.labels import external, own
from benchmarks.labels import raters as agreeing
from mmsb.metrics.two_phase import Unit, from_own_labels


def as_units(cell: own.Cell, answers: Any, labels: Any) -> list[Unit]:
    """The counts of one simulated run as its answers."""
    made = []
    for scenario, judged, truth in np.ndindex(*answers.shape):
        n, drawn = answers[scenario, judged].sum(), labels[scenario, judged].sum()
        chance = cell.size / own.SIZES.sum() if cell.by == "random" else drawn / max(n, 1)
        group = "harm" if own.IS_HARM[scenario] else "policy"
        value = float(cell.values[truth])
        for number in range(answers[scenario, judged, truth]):
            label = (value, value) if number < labels[scenario, judged, truth] else None
            name = f"{judged}/{truth}/{number}"
            made.append(Unit(f"s{scenario}", group, name, float(cell.values[judged]), label, chance))
    return made


SOME = [
    cell
    for number, cell in enumerate([*own.rates((50, 200)), *own.differences()])
    if number % 11 == 3 or cell.name == "harm 0.2, policy 0.8"
]


def test_the_simulation_corrects_as_the_product_does() -> None:
    for number, cell in enumerate(SOME[::4]):
        answers, labels = own.drawn(cell, 1, number)
        value, low, high = (float(found[0]) for found in own.corrected(cell, answers, labels))
        lowest = float(cell.values[0])
        found = from_own_labels(as_units(cell, answers[0], labels[0]), "macro", cell.by == "cells", lowest)
        assert found is not None
        assert (found.value.value, found.value.low, found.value.high) == pytest.approx((value, low, high))


def test_the_corrected_interval_covers_the_truth_with_both_uncertainties() -> None:
    for number, cell in enumerate(SOME):
        found = own.simulated(cell, 200, number)
        assert found.coverage >= 0.90, cell
        assert found.broken == 0


def test_200_labels_know_the_average_of_the_benchmark_to_6_and_a_half_points_with_a_good_judge() -> None:
    widths: dict[str, list[float]] = {}
    for number, cell in enumerate(own.rates((200,))):
        if cell.by == "cells" and cell.judge in ("0.95/0.95", "0.88/0.47"):
            widths.setdefault(cell.judge, []).append(own.simulated(cell, 40, number).width)
    assert np.mean(widths["0.95/0.95"]) <= 0.065
    assert np.mean(widths["0.88/0.47"]) <= 0.085


def test_labels_of_other_answers_cover_the_truth_where_the_judge_errs_alike_or_is_allowed_to_differ() -> None:
    held: dict[tuple[float, float], list[float]] = {}
    for number, cell in enumerate(external.cells()):
        if cell.labels == 100 and cell.name in ("0.1", "0.9"):
            held.setdefault((cell.drift, cell.allowed), []).append(external.simulated(cell, 200, number).coverage)
    assert min(held[0.0, 0.0]) >= 0.90
    assert min(held[0.05, 0.05] + held[0.1, 0.1]) >= 0.90
    assert min(held[0.1, 0.0]) < 0.5  # what is printed beside it is needed


def test_kappa_and_alpha_cover_the_truth_from_20_items_on() -> None:
    for number, cell in enumerate([*agreeing.cells((20,))][::6]):
        found = agreeing.simulated(cell, 100, number)
        assert found.coverage >= 0.85, cell
        assert found.broken == 0
