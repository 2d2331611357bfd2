"""Pieces of many files: where each lies, as one number, and reading it. Few of the files are open at a time.

A number takes less memory than a tuple, and there is one for each of a million answers.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

OPEN = 64  # files at a time: a process may have 1,024 open, and has others
LENGTH_BITS, OFFSET_BITS = 32, 44  # of a piece, 4 GB; of a file, 16 TB


class Pieces:
    """Reads pieces of files, from any thread.

    Attributes:
        paths: of the files, by number.
    """

    def __init__(self) -> None:
        """No file is known."""
        self.paths: list[Path] = []
        self._open: OrderedDict[int, int] = OrderedDict()  # descriptors by file, the one used last at the end
        self._lock = threading.Lock()

    def add(self, path: Path) -> int:
        """Take in a file; give its number."""
        self.paths.append(path)
        return len(self.paths) - 1

    def read(self, place: int) -> bytes:
        """The piece at a place.

        Raises:
            OSError: the file is gone, or cannot be read.
        """
        offset, length = span(place)
        with self._lock:
            return os.pread(self._descriptor(place >> LENGTH_BITS + OFFSET_BITS), length, offset)

    def path(self, place: int) -> Path:
        """The file that a place is in."""
        return self.paths[place >> LENGTH_BITS + OFFSET_BITS]

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])
            self.paths.clear()

    def _descriptor(self, number: int) -> int:
        if number not in self._open:
            if len(self._open) >= OPEN:
                os.close(self._open.popitem(last=False)[1])
            self._open[number] = os.open(self.paths[number], os.O_RDONLY)
        self._open.move_to_end(number)
        return self._open[number]


def span(place: int) -> tuple[int, int]:
    """Where a piece lies in its file: from which byte on, how many bytes."""
    return place >> LENGTH_BITS & (1 << OFFSET_BITS) - 1, place & (1 << LENGTH_BITS) - 1


def place(number: int, offset: int, length: int) -> int:
    """Where a piece lies: in which file, from which byte on, how many bytes."""
    return (number << OFFSET_BITS | offset) << LENGTH_BITS | length
