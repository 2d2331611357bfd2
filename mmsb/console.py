"""Words for the person at the terminal, on stderr; results go to stdout."""

from __future__ import annotations

import sys
import traceback
import unicodedata

from mmsb.errors import MmsbError


def say(text: str) -> None:
    """Print a line for the person on stderr; what a server or a file says in it cannot command the terminal."""
    # To stderr, so that results can be piped while words are read.
    print(visible(text), file=sys.stderr)


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
