"""Words for the person at the terminal: results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
import unicodedata
from typing import TextIO

from mmsb.errors import MmsbError
from mmsb.layout import broken


def say(text: str) -> None:
    """Print a line for the person on stderr; what a server or a file says in it cannot command the terminal."""
    # To stderr, so that results can be piped while words are read.
    _print(visible(text), sys.stderr)


def tell(text: str) -> None:
    """Print a line that belongs to the results, on stdout, as harmless."""
    _print(visible(text), sys.stdout)


def _print(text: str, stream: TextIO) -> None:
    # A terminal breaks a long line in the middle of a word; a log, a pipe and an editor are as wide as it needs.
    if stream.isatty():
        wide = os.get_terminal_size(stream.fileno()).columns or 80  # 0: one that was never told
        text = broken(text, shutil.get_terminal_size((wide, 24)).columns)
    print(text, file=stream, flush=True)


def show(error: MmsbError, trace: bool = False) -> None:
    """Print an error: the problem, then the remedy; before them the stack trace if asked for."""
    if trace:
        traceback.print_exc()
    say(f"error: {error.problem}")
    if error.remedy:
        say(f"  try: {error.remedy}")


def visible(text: str) -> str:
    """Text that is safe to print: only line ends and tabs keep their power, other controls are spelled out."""
    return "".join(letter if letter in "\n\t" or not _controls(letter) else _spelled(letter) for letter in text)


def _controls(letter: str) -> bool:
    # Cf among them: marks of direction make a line read as another one.
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _spelled(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
