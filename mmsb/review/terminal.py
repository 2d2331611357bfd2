"""What a rater sees, and the keys."""

from __future__ import annotations

import os
import sys
import termios
import tty
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmsb.console import visible
from mmsb.errors import DataError
from mmsb.review.picture import picture_of

if TYPE_CHECKING:
    from mmsb.review.session import Task

LABELS = {"s": "safe", "u": "unsafe"}
HELP = "s safe   u unsafe   k skip   b back   q quit"
CLEAR = "\x1b[2J\x1b[H"


def label_all(tasks: Sequence[Task], pictures: str, output_dir: Path, store: Callable[[Task, str | None], None]) -> int:
    """Show the answers one by one until all are labelled or the person quits.

    Args:
        tasks: the answers.
        pictures: "path", "open" or "none".
        output_dir: where pictures are put to be looked at.
        store: takes each label, None for a skipped answer.

    Returns:
        How many labels were stored.

    Raises:
        DataError: standard input is no terminal.
    """
    # from a pipe every byte would be a label
    if not sys.stdin.isatty():
        raise DataError("standard input is no terminal", "Run python -m mmsb.review in a terminal.")
    at = made = 0
    shown = ""
    with single_keys():
        while at < len(tasks):
            task = tasks[at]
            shown = picture_line(task, pictures, output_dir, shown)
            # The screen is cleared: of an answer that stays above, the next label would not be independent.
            print(CLEAR + page(task, at, len(tasks), shown), flush=True)
            key = read_key()
            if key in LABELS or key == "k":
                store(task, LABELS.get(key))
                made += key in LABELS
                at += 1
            # only shown again: its new label is a later line of the file, and the later one counts
            elif key == "b":
                at = max(0, at - 1)
            elif key == "q":
                break
    return made


def picture_line(task: Task, pictures: str, output_dir: Path, before: str) -> str:
    """Where the question's picture lies; opened too, if wanted and not on the screen already."""
    if pictures == "none" or not task.row.get("image"):
        return ""
    path, note = picture_of(task.run, task.row, output_dir / "pictures")
    line = f"{path} {note}".strip() if path else note
    if path and pictures == "open" and line != before:
        webbrowser.open(path.resolve().as_uri())
    return line


def page(task: Task, at: int, total: int, picture: str = "") -> str:
    """One answer as it is shown."""
    row = task.row
    lines = [f"[{at + 1} of {total}] {visible(row['scenario'])}", "", "QUESTION", visible(row["question"]), ""]
    lines += [f"PICTURE {visible(picture)}", ""] if picture else []
    lines += ["ANSWER", visible(row["response"]), ""]
    lines += [f"OTHERS SAID {', '.join(task.votes)}", ""] if task.votes else []
    return "\n".join([*lines, HELP])


@contextmanager
def single_keys() -> Iterator[None]:
    """Keys arrive one by one, without Enter and without being shown; Ctrl-C still interrupts."""
    before = termios.tcgetattr(sys.stdin)
    try:
        # not raw mode: Ctrl-C must still end it
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def read_key() -> str:
    """The next key; "q" at the end of input."""
    # Not sys.stdin.read, whose buffer would swallow the keys that were pressed ahead. Latin-1 takes any byte.
    return os.read(sys.stdin.fileno(), 1).decode("latin-1").lower() or "q"
