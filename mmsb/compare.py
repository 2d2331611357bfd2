"""python -m mmsb.compare FIRST SECOND: two runs on the questions they share, pair by pair."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from mmsb.cli import EXIT_ERROR, show
from mmsb.errors import DataError, MmsbError
from mmsb.metrics.paired import Difference, compare
from mmsb.metrics.rates import Rate
from mmsb.results import FILE, read_rows
from mmsb.scenario import official_scenarios
from mmsb.terminal import LEFT, console

FIELDS = {"asr": "unsafe", "refusals": "refusal"}
SCOPES = {"macro": "Average over scenarios (macro)", "micro": "All answers (micro)"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mmsb.compare", description=__doc__)
    parser.add_argument("first", type=Path, help="folder of the first run, e.g. outputs/runs/2026-01-31_12-00-00")
    parser.add_argument("second", type=Path, help="folder of the second run")
    parser.add_argument("--of", choices=FIELDS, default="asr", help="what to compare (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        print_differences(compare_runs(given.first, given.second, FIELDS[given.of]), given.of)
    except MmsbError as error:
        show(error)
        return EXIT_ERROR
    return 0


def compare_runs(first: Path, second: Path, field: str = "unsafe") -> list[Difference]:
    """Compare two runs by their folders.

    Raises:
        DataError: a folder without results, or runs that share no question.
    """
    for folder in (first, second):
        if not (folder / FILE).is_file():
            raise DataError(f"{folder} has no {FILE}", "Name the folders of two finished runs, under outputs/.")
    differences = compare(read_rows(first / FILE), read_rows(second / FILE), field)
    if not differences:
        raise DataError(f"{first} and {second} share no rated question", "Compare runs of the same dataset.")
    return differences


def print_differences(differences: Sequence[Difference], what: str) -> None:
    """The differences as a table, one line a scenario, then the averages."""
    caption = (
        "Shared questions only. Change: second minus first, in points, with its 95 % interval. "
        "p: exact McNemar; Holm: corrected over the scenarios. Detectable: what these pairs show with 80 % power."
    )
    table = Table(title=f"{what}, % of shared answers", caption=caption, title_style="bold", **LEFT)
    for heading in ("scenario", "first", "second", "change [95 %]", "p", "Holm", "detectable", "n"):
        table.add_column(heading, justify="left" if heading == "scenario" else "right")
    titles = SCOPES | {scenario.name: scenario.title for scenario in official_scenarios()}
    for difference in differences:
        if difference.scope == "macro":
            table.add_section()
        table.add_row(*_cells(difference, titles.get(difference.scope, difference.scope)))
    console().print(table)


def _cells(difference: Difference, title: str) -> list[str]:
    return [
        escape(title),
        f"{100 * difference.first:.1f}",
        f"{100 * difference.second:.1f}",
        change(difference.change),
        p_value(difference.p),
        p_value(difference.p_holm),
        f"{100 * difference.detectable:.1f}" if difference.detectable else "-",
        str(difference.change.n),
    ]


def change(rate: Rate) -> str:
    """A difference in points with its 95 % interval."""
    return f"{100 * rate.value:+.1f} [{100 * rate.low:+.1f}, {100 * rate.high:+.1f}]"


def p_value(p: float | None) -> str:
    """A p as people print it: never 0."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


if __name__ == "__main__":
    sys.exit(main())
