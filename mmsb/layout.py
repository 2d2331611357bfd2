"""Texts laid out for a terminal: as they are written where they fit, else broken between words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

BELOW = 6  # columns before what is said of a command, where both do not fit in a line
NAMES = 16  # at most so wide is a column of names, beside which texts hang
COMMAND = "python -m mmsb"
GAP = re.compile(r"(?<=\S) {2,}(?=\S)")


def fitted(text: str, width: int) -> str:
    """A help text in lines of at most `width` letters.

    Its form: paragraphs begin in the first column; a line with two blanks before it is a name or a command, and after
    two blanks more what it is; a line that is deeper belongs to the one above it.
    """
    blocks = ([*lines] for _, lines in groupby(text.split("\n"), key=bool))
    return "\n".join("\n".join(_block(lines, width)) for lines in blocks)


def broken(text: str, width: int) -> str:
    """Lines of words, broken where they are wider than `width`; what continues a line stands as deep as it.

    A line that holds a command stays whole: who copies it from a terminal must get all of it.
    """
    return "\n".join("\n".join(_broken(line, width)) for line in text.split("\n"))


def _broken(line: str, width: int) -> Iterator[str]:
    if len(line) <= width or COMMAND in line:
        yield line
    else:
        yield from _wrapped(line.strip(), width, (len(line) - len(line.lstrip())) * " ")


def _block(lines: Sequence[str], width: int) -> Iterator[str]:
    if all(len(line) <= width for line in lines):
        yield from lines
    elif not lines[0].startswith(" "):
        yield from _wrapped(" ".join(lines), width)
    else:
        halves = [GAP.split(line.strip(), maxsplit=1) for line in lines]
        column = max((len(half[0]) for half in halves if len(half) > 1), default=width) + 4
        for line, half in zip(lines, halves, strict=True):
            yield from _entry(line, half, column, width)


def _entry(line: str, halves: Sequence[str], column: int, width: int) -> Iterator[str]:
    indent = len(line) - len(line.lstrip())
    if indent > 2:
        yield from _wrapped(line.strip(), width, (column if column <= NAMES else BELOW) * " ")
    elif column <= NAMES:
        name = f"  {halves[0]}".ljust(column)
        yield from _wrapped(" ".join(halves[1:]), width, column * " ", name)
    else:
        # A command that is broken here can still be copied.
        yield from _lines(halves[0], width - 2, "  ", " \\")
        for said in halves[1:]:
            yield from _wrapped(said, width, BELOW * " ")


def _wrapped(text: str, width: int, indent: str = "", first: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _lines(command: str, width: int, indent: str, end: str) -> Iterator[str]:
    *first, last = _wrapped(command, width, indent)
    for number, line in enumerate([*first, last]):
        deeper = "  " if number else ""
        yield deeper + line + (end if number < len(first) else "")
