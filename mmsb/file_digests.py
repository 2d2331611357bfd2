"""Digests of files that are needed again and again: each file is read once, as long as it stays as it is.

The plan of a run looks at all pictures, the run looks at them again, and so does every later run. Who writes to a file,
or puts another in its place, changes its number, its size or its times; the time of change nobody can set back. So a
digest stands in a table of the user's cache under the file's path and these: to look there takes a sixth of the time
that reading a picture takes.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from mmsb.digest import cache_folder, digest_bytes

if TYPE_CHECKING:
    import sqlite3

STATE = struct.Struct("<QQqqq")  # a file's device, number, size, and times of writing and of change in nanoseconds
SETTLED = 2_000_000_000  # nanoseconds: what changed so lately may change again before its file system's clock moves
IN_MEMORY = 8_192  # digests, of some 300 bytes each
STRETCH = 256  # look-ups in a row while the table is locked for all of them; that takes a millisecond
TOGETHER = 1_024  # new ones that are written down at a time
BYTES = 16  # of a key of the table, and of a digest


class FileDigests:
    """What is known of files: the first of them in memory, all in a table that processes share."""

    def __init__(self, folder: Callable[[], Path] = cache_folder) -> None:
        """Nothing is known yet; `folder` says where the table is, once it is needed."""
        self._known: dict[str, bytes] = {}
        self._new: list[tuple[bytes, bytes]] = []
        self._table: Table | None = None
        self._folder = folder
        self._together = 1  # look-ups for which the table is locked once
        self._lock = Lock()

    def of(self, path: Path | str) -> str:
        """The digest of a file, as `digest_file` has it."""
        name = os.fspath(path)
        known, state = self._known.get(name), _state(os.stat(name))
        if known and known[: STATE.size] == state:
            return known[STATE.size :].hex()
        key = hashlib.blake2b(os.fsencode(os.path.abspath(name)) + state, digest_size=BYTES).digest()
        with self._lock:
            found = self._opened().get(key, self._together)
        if found is None:
            found, settled = self._read(name, state)
            if not settled:
                return found.hex()
            with self._lock:
                self._new.append((key, found))
            if len(self._new) >= TOGETHER:
                self.write()
        if len(self._known) < IN_MEMORY:
            self._known[name] = state + found
        return found.hex()

    @contextmanager
    def stretch(self) -> Iterator[None]:
        """Look up many in a row, without waiting for anything in between: to lock the table for each takes longest."""
        self._together = STRETCH
        try:
            yield
        finally:
            self._together = 1
            with self._lock:
                if self._table:
                    self._table.let_go()

    def write(self) -> None:
        """Write down what is new."""
        with self._lock:
            new, self._new = self._new, []
            if new:
                self._opened().add(new)

    def _read(self, name: str, state: bytes) -> tuple[bytes, bool]:
        """A file's digest, and whether it will stay that of a file in this state."""
        with open(name, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            found = digest_bytes(file.readall())
            after = os.fstat(file.fileno())
        settled = time.time_ns() - max(after.st_mtime_ns, after.st_ctime_ns) > SETTLED
        return bytes.fromhex(found), settled and state == _state(before) == _state(after)

    def _opened(self) -> Table:
        # Not one that a parent opened: two processes with one connection break the file.
        if self._table is None or self._table.process != os.getpid():
            self._table = Table(self._folder() / "pictures.sqlite")
        return self._table


class Table:
    """Digests by key in a file; where it cannot be used, nothing is known.

    Attributes:
        process: who opened it.
    """

    def __init__(self, path: Path) -> None:
        """Open it, or make it."""
        import sqlite3

        self.process = os.getpid()
        self._path = path
        self._held = 0  # look-ups since it was locked for several
        self._base: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=1, check_same_thread=False)
            self._base.execute("PRAGMA synchronous = OFF")  # what a power cut takes is made again
            self._base.execute("CREATE TABLE IF NOT EXISTS digests (key BLOB PRIMARY KEY, digest BLOB) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def get(self, key: bytes, together: int = 1) -> bytes | None:
        """The digest under a key, where it is known; the table stays locked for so many look-ups, or until `let_go`."""
        import sqlite3

        if self._base is None:
            return None
        try:
            if self._held >= together:  # others wait for a second to write
                self._base.commit()
                self._held = 0
            if together > 1:
                if not self._held:
                    self._base.execute("BEGIN")
                self._held += 1
            row = self._base.execute("SELECT digest FROM digests WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        whole = row and isinstance(row[0], bytes) and len(row[0]) == BYTES
        return row[0] if whole else None

    def let_go(self) -> None:
        """Keep it locked no longer."""
        import sqlite3

        self._held = 0
        try:
            if self._base is not None:
                self._base.commit()
        except sqlite3.Error as error:
            self._give_up(error)

    def add(self, rows: list[tuple[bytes, bytes]]) -> None:
        """Take in keys with their digests."""
        import sqlite3

        if self._base is None:
            return
        try:
            self._base.commit()  # two that look up, and wait for each other to write, would wait for ever
            self._held = 0
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """A disk that is full, a folder that is not ours: files are read then, as if there were no table."""
        self._base = None
        if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            with suppress(OSError):
                self._path.unlink()  # of no use to anybody; the next process makes a new one


def _state(found: os.stat_result) -> bytes:
    return STATE.pack(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
