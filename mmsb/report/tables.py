"""The tables of a report, each made once and written to the page, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from mmsb.metrics.rates import Rate
from mmsb.terminal import change


@dataclass(frozen=True)
class Change:
    """A difference in [-1, 1] with its interval, shown with its sign."""

    rate: Rate


Cell = str | int | float | Rate | Change | None
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet runs when a text begins with it


@dataclass(frozen=True)
class Table:
    """A table as values.

    Attributes:
        name: its file's name.
        title: its heading.
        caption: what the numbers are.
        headings: one a column.
        rows: as many cells each; a `Rate` in [-1, 1] is shown in percent with its interval.
    """

    name: str
    title: str
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def shown(self) -> list[list[str]]:
        """The cells as people read them."""
        return [[text(cell) for cell in row] for row in self.rows]

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers only, and so stands to the right."""
        return all(not isinstance(row[column], str) for row in self.rows)

    def csv(self) -> str:
        """Comma-separated values: a rate takes three columns, in [-1, 1]; no text is a formula."""
        rates = {n for n in range(len(self.headings)) if any(isinstance(row[n], Rate | Change) for row in self.rows)}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        heads = [[h, f"{h} low", f"{h} high"] if n in rates else [h] for n, h in enumerate(self.headings)]
        writer.writerow([plain(head) for group in heads for head in group])
        for row in self.rows:
            cells = [_three(cell) if n in rates else [cell] for n, cell in enumerate(row)]
            writer.writerow([plain(cell) if isinstance(cell, str) else cell for group in cells for cell in group])
        return out.getvalue()

    def markdown(self) -> str:
        """A table of GitHub's Markdown."""
        marks = ["---:" if self.numeric(n) else "---" for n in range(len(self.headings))]
        lines = [self.headings, marks, *self.shown()]
        rule = "\n".join("| " + " | ".join(map(_in_markdown, line)) + " |" for line in lines)
        return f"{rule}\n\n{_in_markdown(self.caption)}\n"

    def latex(self) -> str:
        r"""A LaTeX table with booktabs rules: `\usepackage{booktabs}`."""
        import pandas
        from pandas.io.formats.style import Styler

        frame = pandas.DataFrame(self.shown(), columns=pandas.Index(list(self.headings)))
        columns = "".join("r" if self.numeric(n) else "l" for n in range(len(self.headings)))
        style = Styler(frame).hide(axis="index").format(_in_latex).format_index(_in_latex, axis="columns")
        made: str = style.to_latex(
            hrules=True, column_format=columns, caption=_in_latex(self.caption), label=f"tab:{self.name}"
        )
        return made


def text(cell: Cell) -> str:
    """A cell as people read it: a rate as 41.0 [38.2, 44.1], nothing as a dash."""
    match cell:
        case None:
            return "-"
        case Rate():
            return f"{100 * cell.value:.1f} [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
        case Change():
            return change(cell.rate)
        case float():
            return f"{cell:.3g}"
        case _:
            return f"{cell:,}" if isinstance(cell, int) else str(cell)


def plain(value: str) -> str:
    """A text that no spreadsheet takes for a formula, and no CSV reader for the end of the file."""
    value = value.replace("\0", "\N{SYMBOL FOR NULL}")
    return "'" + value if value.startswith(FORMULA) else value


def _three(cell: Cell) -> list[Cell]:
    rate = cell.rate if isinstance(cell, Change) else cell
    return [rate.value, rate.low, rate.high] if isinstance(rate, Rate) else [rate, None, None]


def _in_markdown(value: str) -> str:
    one_line = " ".join(html.escape(value, quote=False).split())
    for special in "\\`*_[]|":
        one_line = one_line.replace(special, "\\" + special)
    return one_line


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "·": r"\(\cdot\)",
        **{letter: "\\" + letter for letter in "&%$#_{}"},
    }
)


def _in_latex(value: object) -> str:
    """Text that LaTeX prints as it is: no command, no special letter, no control character."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value)).translate(LATEX)
