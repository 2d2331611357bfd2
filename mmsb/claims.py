"""What is being asked for now, known to all processes that share a store: who wants the same waits for its answer.

    outputs/store/<model>/claims    a byte for every answer that was added; and for every prompt that is being asked
                                    a lock on one byte, at a place that its key names

Locks of bytes are let go of by the system with the process that holds them, so that what a killed process was asking
is asked by one of those that wait. The file's size says, without reading anything, whether others added answers.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from mmsb.console import say

FILE = "claims"
LONG = 60.0  # seconds of waiting after which it is told; an answer mostly takes less
LOOK = 0.05  # seconds between two looks whether it is one's turn; an answer takes longer
FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process
TAKEN = (errno.EAGAIN, errno.EACCES)
DIGITS = 15  # of a key: what a file offset can hold; two prompts at one place only wait for one another


class Claims:
    """The claims on one shelf of a store."""

    def __init__(self, folder: Path) -> None:
        """Note how many answers were added; made before they are read, so that none is missed in between."""
        self._path = folder / FILE
        self._file: int | None = None
        self._known = 0
        self._told = False
        with suppress(OSError):
            self._known = self._path.stat().st_size

    @asynccontextmanager
    async def claim(self, key: str) -> AsyncIterator[bool]:
        """Hold the claim on a key, once nobody else does; whether answers may have come that are not read yet."""
        place, waited, began = int(key[:DIGITS], 16), False, time.monotonic()
        while not self._lock(place, fcntl.F_WRLCK):
            waited = True
            if time.monotonic() - began > LONG and not self._told:
                self._told = True
                # Not asked for beside it: the other may go on, and the answer would be paid for twice.
                say(
                    f"another process has been asking {self._path.parent.name} for the same answer for {LONG:.0f} s, "
                    "and its answer is waited for. If it was stopped (Ctrl-Z), let it go on (fg), or end it."
                )
            await asyncio.sleep(LOOK)
        try:
            # Who was killed after it wrote an answer, and before it told, is found out by having waited for it.
            yield self._news() or waited
        finally:
            self._lock(place, fcntl.F_UNLCK)

    def tell(self) -> None:
        """Tell the others of an answer, once it can be read."""
        with suppress(OSError):  # a full disk: the answer is kept, and perhaps asked for twice
            self._known += os.write(self._open(), b"\n")

    def close(self) -> None:
        """Let go of all."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _news(self) -> bool:
        size = os.fstat(self._open()).st_size
        new, self._known = size != self._known, size
        return new

    def _open(self) -> int:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        return self._file

    def _lock(self, place: int, kind: int) -> bool:
        """Take or free one byte; False where another process, or another store in this one, has it."""
        try:
            if hasattr(fcntl, "F_OFD_SETLK"):  # of the open file; the older kind belongs to the whole process
                fcntl.fcntl(self._open(), fcntl.F_OFD_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, place, 1, 0))
            else:
                flags = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
                fcntl.lockf(self._open(), flags, 1, place)
        except OSError as error:
            # A file system without locks: better the same twice than nothing at all.
            return error.errno not in TAKEN
        return True
