"""The tables of a report, each made once and written to the page, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmsb.metrics.rates import Rate
from mmsb.report.finished import Bounded
from mmsb.terminal import change, inline, reach


@dataclass(frozen=True)
class Change:
    """A difference in [-1, 1] with its interval, shown with its sign."""

    rate: Rate


Cell = str | int | float | Rate | Bounded | Change | None
BOUNDS = "In parentheses, where answers are in no rate: what it would be if none of them counted .. if all did."
NUMBER = re.compile(r"<?[\d.,]+|-")  # as it is printed: a p of a test, or that there was none
ENDS = ("", " low", " high", " least", " most")  # of a rate's columns in CSV
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

    @property
    def bounded(self) -> bool:
        """Whether a rate in it has bounds."""
        return any(isinstance(cell, Bounded) for row in self.rows for cell in row)

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers only, and so stands to the right."""
        cells = [row[column] for row in self.rows]
        return all(not isinstance(cell, str) or (column > 0 and NUMBER.fullmatch(cell)) for cell in cells)

    def csv(self) -> str:
        """Comma-separated values: a rate takes a column for each of its numbers, in [-1, 1]; no text is a formula."""
        widths = [max([len(_numbers(row[n])) for row in self.rows], default=1) for n in range(len(self.headings))]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        heads = [
            f"{heading}{end}" for heading, width in zip(self.headings, widths, strict=True) for end in ENDS[:width]
        ]
        writer.writerow(map(plain, heads))
        for row in self.rows:
            # A column is as wide as its widest cell, so that rates with and without bounds stand below one another.
            cells = [[*_numbers(cell), *[None] * width][:width] for cell, width in zip(row, widths, strict=True)]
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
            return inline(cell)
        case Bounded():
            return f"{text(cell.rate)} ({reach((cell.least, cell.most))})"
        case Change():
            return change(cell.rate)
        case float():
            return f"{cell:.3g}"
        case _:
            return f"{cell:,}" if isinstance(cell, int) else str(cell)


def plain(value: str) -> str:
    """A text that no spreadsheet takes for a formula, and no CSV reader for the end of the file."""
    # Some readers of CSV end at a NUL, and what follows it would be lost.
    harmless = "'" + value if value.startswith(FORMULA) else value
    # A lone carriage return ends a row for who reads it, and Python quotes only the line ends that it writes.
    return "\n".join(harmless.replace("\0", "\N{SYMBOL FOR NULL}").replace("\r\n", "\n").split("\r"))


def _numbers(cell: Cell) -> list[Cell]:
    """A cell's numbers, in the order of `ENDS`."""
    rate = cell.rate if isinstance(cell, Change | Bounded) else cell
    if not isinstance(rate, Rate):
        return [rate]
    return [rate.value, rate.low, rate.high, *([cell.least, cell.most] if isinstance(cell, Bounded) else [])]


def _in_markdown(value: str) -> str:
    # Markdown passes HTML through: an answer's <script> would run where the file is shown.
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
    # TeX calls some controls invalid, and takes others for the end of a line.
    return "".join(letter if letter.isprintable() else " " for letter in str(value)).translate(LATEX)
