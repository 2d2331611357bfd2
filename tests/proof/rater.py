"""Somebody at a terminal who labels answers as they are shown, whenever that is: two sittings end as one does."""

from __future__ import annotations

import os
import pty
import re
from pathlib import Path
from typing import Self

from mmsb.review.terminal import CLEAR, HELP

NUMBER = re.compile(r"\bAnswer (\d+)\.")  # as tests.reviewing.write_run writes answers


class Idle:
    """Nobody, with nothing to read from."""

    terminal: int

    def __enter__(self) -> Self:
        """Sit down."""
        self.terminal = os.open(os.devnull, os.O_RDONLY)
        return self

    def look(self) -> None:
        """See what there is to do."""

    def __exit__(self, *_: object) -> None:
        """Leave."""
        os.close(self.terminal)


class Rater(Idle):
    """A terminal, of which a command reads keys, and who presses them."""

    def __init__(self, output: Path) -> None:
        """`output`: what the command prints, which is looked at."""
        self._output = output
        self._pressed = 0

    def __enter__(self) -> Self:
        """Sit down at it."""
        self._ours, self.terminal = pty.openpty()
        return self

    def look(self) -> None:
        """Press a key, if there is a page that has none yet."""
        pages = self._output.read_text(errors="replace").split(CLEAR)[1:] if self._output.exists() else []
        if len(pages) > self._pressed and HELP in pages[-1]:
            number = NUMBER.search(pages[-1])
            assert number is not None
            os.write(self._ours, b"su"[int(number[1]) % 2 :][:1])
            self._pressed = len(pages)

    def __exit__(self, *_: object) -> None:
        """Leave."""
        super().__exit__()
        os.close(self._ours)
