"""python -m benchmarks.labels [REPLICATIONS]: simulate every cell, write the tables, fail where a bar is missed.

The tables go into docs/statistics_labels.md. 2,000 replications a cell take some ten minutes on one core.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.labels import external, own, raters
from mmsb.digest import write_atomically

PAGE = Path(__file__).resolve().parents[2] / "docs" / "statistics_labels.md"
LEAST, LEAST_EXTERNAL, LEAST_RATERS = 0.925, 0.90, 0.90
WIDEST = {"0.95/0.95": 0.065, "0.88/0.47": 0.085}  # macro, 200 labels by cells, mean over the profiles
BEGIN, END = "<!-- measured: python -m benchmarks.labels -->", "<!-- end of what was measured -->"


def main(replications: int) -> int:
    """Measure, print, write; returns the exit code."""
    texts, missed = [f"{replications:,} replications a cell, fixed seeds."], []
    for part in (agreements, elsewhere, differences, rates):
        lines, some = part(replications)
        texts.append("\n".join(lines))
        missed += some
        print(texts[-1], flush=True)
    text = "\n\n".join(texts)
    if replications >= 2000:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        write_atomically(PAGE, f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


def rates(replications: int) -> tuple[list[str], list[str]]:
    """Corrected averages of a run of the benchmark's 1,680 questions."""
    rows, missed = _own(own.rates(), replications)
    head = [
        "| labels | drawn | judge | coverage % mean / least | mean width, points | widest | no width |",
        "|" + "---|" * 7,
    ]
    return ["**Corrected average of a run (1,680 questions), labels drawn from it**", "", *head, *rows], missed


def differences(replications: int) -> tuple[list[str], list[str]]:
    """Corrected differences of two runs."""
    rows, missed = _own(own.differences(), replications)
    head = [
        "| labels in each | drawn | judge | coverage % mean / least | mean width, points | widest | no width |",
        "|" + "---|" * 7,
    ]
    return ["**Corrected difference of two runs, the same questions labelled in both**", "", *head, *rows], missed


def _own(cells: Iterable[own.Cell], replications: int) -> tuple[list[str], list[str]]:
    rows, missed = [], []
    for (size, by, judge), found in _grouped(cells, own.simulated, replications, "size", "by", "judge"):
        covered, widths = [one.coverage for one in found], [one.width for one in found]
        broken = sum(one.broken for one in found)
        told = f"{100 * fmean(widths):.1f} | {100 * max(widths):.1f} | {broken}"
        rows.append(f"| {size} | {by} | {judge} | {_both(covered)} | {told} |")
        is_rate = found[0].cell.values[0] == 0
        wide = is_rate and size == 200 and by == "cells" and fmean(widths) > WIDEST.get(judge, 1.0)
        if min(covered) < LEAST or broken or wide:
            missed.append(rows[-1])
    return rows, missed


def elsewhere(replications: int) -> tuple[list[str], list[str]]:
    """Labels of other answers."""
    rows, missed = [], []
    grouped = _grouped(external.cells(), external.simulated, replications, "labels", "drift", "allowed", "judge")
    for (labels, drift, allowed, judge), found in grouped:
        covered = [one.coverage for one in found]
        width = 100 * fmean(one.width for one in found)
        rows.append(
            f"| {labels} + {labels} | {judge} | {100 * drift:g} | {100 * allowed:g} | {_both(covered)} | {width:.1f} |"
        )
        if labels >= 50 and drift <= allowed and min(covered) < LEAST_EXTERNAL:
            missed.append(rows[-1])
    head = [
        "| labels in each group | judge | errors differ by | ends allow | coverage % mean / least | mean width |",
        "|" + "---|" * 6,
    ]
    return ["**Corrected average of a run, labels of other answers**", "", *head, *rows], missed


def agreements(replications: int) -> tuple[list[str], list[str]]:
    """Kappa and alpha."""
    rows, missed = [], []
    for (coefficient, n), found in _grouped(raters.cells(), raters.simulated, replications, "coefficient", "n"):
        covered, broken = [one.coverage for one in found], sum(one.broken for one in found)
        defined = 100 * min(one.defined for one in found)
        rows.append(f"| {coefficient} | {n} | {len(found)} | {_both(covered)} | {defined:.1f} | {broken} |")
        if min(covered) < LEAST_RATERS or broken:
            missed.append(rows[-1])
    head = ["| coefficient | items | cells | coverage % mean / least | defined %, least | no width |", "|" + "---|" * 6]
    return ["**Agreement of two raters (kappa) and three (alpha)**", "", *head, *rows], missed


def _grouped(
    cells: Iterable[Any], simulated: Any, replications: int, *by: str
) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
    found: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for number, cell in enumerate(cells):
        found[tuple(getattr(cell, name) for name in by)].append(simulated(cell, replications, number))
    yield from found.items()


def _both(shares: Sequence[float]) -> str:
    return f"{100 * fmean(shares):.1f} / {100 * min(shares):.1f}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
