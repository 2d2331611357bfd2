"""What `validate` found, on the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from mmsb.create.folder import KINDS
from mmsb.create.validate import Report
from mmsb.terminal import console, print_table


def show_report(report: Report) -> None:
    """A table of counts by scenario, then the findings."""
    table = Table(title="dataset", title_justify="left", title_style="bold")
    columns = ("questions", *KINDS)
    table.add_column("scenario")
    for column in columns:
        table.add_column(column, justify="right")
    for name, counts in report.counts.items():
        table.add_row(escape(name), *(f"{counts.get(column, 0):,}" for column in columns))
    table.add_section()
    table.add_row("all", *(f"{sum(c.get(column, 0) for c in report.counts.values()):,}" for column in columns))
    print_table(table)
    for line in report.lines:
        console().print(escape(line), soft_wrap=True, highlight=False)
