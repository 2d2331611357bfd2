"""python -m benchmarks.coverage [REPLICATIONS]: simulate every cell, write the table, fail where a bar is missed.

The table goes into docs/statistics.md between its markers. 2,000 replications a cell take some 10 minutes of a core.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.coverage.bars import judged, missed
from benchmarks.coverage.cells import Cell, adversarial, paired, rates, repeats
from benchmarks.coverage.exact import alone, single_rates, violations
from benchmarks.coverage.others import bootstrap, wilson
from benchmarks.coverage.simulate import Found, simulated
from benchmarks.coverage.table import tables, written

PAGE = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"
SAID = 100  # cells between two lines of progress
THINNED, FEWER = 4, 4  # the usual methods are slow and only there for comparison
USUAL = {
    "macro": bootstrap,
    "micro": wilson,
    "group of 6": bootstrap,
    "macro change": bootstrap,
    "micro change": bootstrap,
}


def main(replications: int) -> int:
    """Measure, print, write; returns the exit code."""
    started, found = time.monotonic(), []
    cells = [*rates(), *adversarial(), *repeats(), *paired()]
    for number, cell in enumerate(cells):
        found.append(simulated(cell, replications, number))
        if number % SAID == 0:
            print(f"{number} of {len(cells)} cells in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    before = usual(replications // FEWER)
    lines = judged(found)
    text = tables(lines, judged(before), single_rates(), alone(), violations(), replications)
    print(text)
    if replications >= 2000:
        written(PAGE, text)
    for line in (failures := missed(lines)):
        print(f"missed: {line}", file=sys.stderr)
    return 1 if failures else 0


def usual(replications: int) -> list[Found]:
    """The usual methods on every fourth cell of each of their lines."""
    lines: defaultdict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in [*rates(), *paired()]:
        lines[cell.family, cell.size].append(cell)
    some = [cell for (family, _), cells in lines.items() if family in USUAL for cell in cells[::THINNED]]
    return [simulated(cell, replications, number, USUAL[cell.family]) for number, cell in enumerate(some)]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
