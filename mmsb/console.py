"""Words for the person at the terminal, on stderr; results go to stdout."""

from __future__ import annotations

import sys
import traceback

from mmsb.errors import MmsbError


def say(text: str) -> None:
    """Print a line for the person on stderr."""
    print(text, file=sys.stderr)


def show(error: MmsbError, trace: bool = False) -> None:
    """Print an error: the problem, then the remedy; before them the stack trace if asked for."""
    if trace:
        traceback.print_exc()
    say(f"error: {error.problem}")
    if error.remedy:
        say(f"  try: {error.remedy}")
