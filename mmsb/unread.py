"""Output that nobody reads any more (`| head`, a pager that was left): a command does its work and records."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast


class Unread:
    """A stream whose reader may leave; what is written after that goes nowhere."""

    def __init__(self, stream: TextIO, nowhere: TextIO) -> None:
        """Around a stream of this process; `nowhere` takes its place."""
        self._stream = stream
        self._nowhere = nowhere

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop it where nobody reads."""
        self._or_nowhere(lambda: self._stream.write(text))
        return len(text)  # what a stream that Ray or colorama put there gives back is None

    def flush(self) -> None:
        """Send what was written, or drop it where nobody reads."""
        self._or_nowhere(self._stream.flush)

    def _or_nowhere(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except BrokenPipeError:
            # the descriptor itself: what libraries and started processes write there meets the same
            os.dup2(self._nowhere.fileno(), self._stream.fileno())
            return do()


@contextmanager
def may_stay_unread() -> Iterator[None]:
    """Have who reads this command's output leave without ending it: an error in the middle would cost its records."""
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        ours = [Unread(stream or nowhere, nowhere) for stream in before]  # None where a shell closed it (`>&-`)
        sys.stdout, sys.stderr = cast("list[TextIO]", ours)
        try:
            yield
        finally:
            for stream in ours:  # now, as the interpreter would complain at its end
                stream.flush()
            sys.stdout, sys.stderr = before
