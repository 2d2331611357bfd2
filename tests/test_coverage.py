"""A slice of `python -m benchmarks.coverage`: few replications, so that 92.5 % passes and a poor method fails."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from benchmarks.coverage.bars import judged, missed
from benchmarks.coverage.cells import Cell, paired, rates, repeats, weights
from benchmarks.coverage.exact import single_rates, violations
from benchmarks.coverage.others import bootstrap
from benchmarks.coverage.simulate import EXACT, drawn, likelihood, simulated
from benchmarks.coverage.table import BEGIN, END, tables, written
from mmsb.metrics.rates import gathered

SLICE = [*rates()][5::83] + [*repeats()][3::197] + [*paired()][1:90:29]
REPLICATIONS, FEWEST = 150, 0.84  # a coverage of 92.5 % is seen below it with probability 3e-4


@pytest.mark.parametrize("cell", SLICE, ids=lambda cell: f"{cell.family}-{cell.size}")
def test_intervals_hold_the_truth(cell: Cell) -> None:
    found = simulated(cell, REPLICATIONS, 7)
    assert found.coverage >= FEWEST
    assert found.broken == 0
    assert found.deviance_rejects is None or found.deviance_rejects <= 1 - FEWEST
    assert found.sign_rejects is None or found.sign_rejects <= 1 - FEWEST


def test_the_slice_would_notice_an_interval_that_is_too_narrow() -> None:
    cell = next(c for c in rates() if (c.family, c.size) == ("macro", "unequal") and abs(c.truth - 0.5) < EXACT)
    assert simulated(cell, REPLICATIONS, 7, bootstrap).coverage < FEWEST
    assert missed(judged([simulated(cell, REPLICATIONS, 7, bootstrap)]))


def test_what_is_simulated_is_what_a_run_reports() -> None:
    sizes = (3, 8, 5)
    shares = numpy.array([[0.5, 0.3, 0.2]] * 3)
    cell = Cell("macro", "three", sizes, weights("macro", sizes), numpy.array([0.0, 0.5, 1.0]), shares)
    counts = drawn(cell, 20, 3)
    low, high = likelihood(cell, counts)
    for number, data in enumerate(counts):
        values = [[v for v, n in zip(cell.values, row, strict=True) for _ in range(int(n))] for row in data]
        rate = gathered((str(s), str(q), float(v)) for s, some in enumerate(values) for q, v in enumerate(some)).rate(
            "macro"
        )
        assert rate is not None
        assert (rate.low, rate.high) == pytest.approx((low[number], high[number]), abs=1e-11)


def test_a_single_rate_keeps_its_coverage_where_wilson_loses_it() -> None:
    for n, ours, wilsons in single_rates((5, 8, 44)):
        assert ours >= 0.925, n
        assert wilsons < 0.85


def test_no_drawn_design_violates_monotonicity() -> None:
    assert violations(300)[0] == 0


def test_the_table_replaces_what_stood_between_its_markers(tmp_path: Path) -> None:
    lines = judged([simulated(SLICE[0], 20, 1)])
    text = tables(lines, lines, [(5, 0.95, 0.83)], [], (0, 600), 20)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    written(page, text)
    assert "old" not in page.read_text()
    assert page.read_text().startswith(f"before\n{BEGIN}\n\n20 replications")
    assert page.read_text().endswith(f"{END}\nafter\n")
