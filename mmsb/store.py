"""The store: every answer a model ever gave, written down the moment it exists, never paid for twice.

    outputs/store/<model>-<fingerprint>/fingerprint.json       what the answers depend on
                                        <time>-<host>-<pid>-<n>.jsonl   one file per writing process
    {"key":"<32 hex>","crc":"<8 hex>","value":{...}}           one line per answer

Lines are appended in one write, so that a kill loses nothing that was written, and reach the disk within
`mmsb.appender.SYNC_SECONDS`, so that a power cut loses next to nothing. A torn last line is dropped; a corrupt line
anywhere else is an error that names file and line. Processes write files of their own, without locks; what one asks
for, another waits for (`mmsb.claims`).
"""

from __future__ import annotations

import dataclasses
import re
import threading
import time
import warnings
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from mmsb.appender import Appender
from mmsb.claims import Claims
from mmsb.digest import digest
from mmsb.errors import StoreError
from mmsb.index import Index
from mmsb.model.base import Batched, Engine
from mmsb.pieces import Pieces, place
from mmsb.schemas import parse_response
from mmsb.types import Response, clean

LINE = re.compile(rb'\{"key":"([0-9a-f]{32})","crc":"([0-9a-f]{8})","value":(.*)\}\n', re.DOTALL)


class Store:
    """A folder of shelves, one for each model fingerprint."""

    def __init__(self, root: Path) -> None:
        """Nothing is read or written yet."""
        self.root = root
        self._shelves: dict[str, Shelf] = {}
        self._by_engine: dict[int, tuple[Engine, Shelf]] = {}  # a fingerprint takes longer than a lookup
        self._lock = threading.Lock()

    def shelf(self, engine: Engine) -> Shelf:
        """The answers of an engine; engines of the same fingerprint share them.

        Raises:
            StoreError: a corrupt line, or a folder that cannot be read.
        """
        with self._lock:
            known = self._by_engine.get(id(engine))
            if known is None:
                # The engine is kept beside its shelf, so that its id is given to no other object.
                known = self._by_engine[id(engine)] = (engine, self._opened(engine))
            return known[1]

    def has_answers(self, engine: Engine) -> bool:
        """Whether an engine ever answered, found without reading what."""
        folder = self._folder(engine, digest(dict(engine.fingerprint())))
        return any(path.stat().st_size for path in folder.glob("*.jsonl"))

    def _opened(self, engine: Engine) -> Shelf:
        fingerprint = dict(engine.fingerprint())
        key = digest(fingerprint)
        if key not in self._shelves:
            self._shelves[key] = Shelf(self._folder(engine, key), fingerprint, isinstance(engine, Batched))
        return self._shelves[key]

    def _folder(self, engine: Engine, key: str) -> Path:
        # The slug is for people; the digits tell fingerprints apart, 48 bits of them for a handful of folders.
        slug = re.sub(r"[^A-Za-z0-9.-]+", "-", engine.name).strip("-.")[:60]
        return self.root / f"{slug}-{key[:12]}"

    def close(self) -> None:
        """Bring everything written to the disk."""
        for shelf in self._shelves.values():
            shelf.close()


class Shelf:
    """All stored answers of one fingerprint: an index in memory, the answers on disk."""

    def __init__(self, folder: Path, fingerprint: dict[str, object], batched: bool = False) -> None:
        """Read the index of what is there; `batched` says how the engine is asked, which takes long to find out.

        Raises:
            StoreError: a corrupt line, or a folder that cannot be read.
        """
        self.folder = folder
        self.batched = batched
        self._fingerprint = fingerprint
        self._index = Index()  # where the answer to each key lies
        self._pieces = Pieces()
        self._read_to: dict[Path, tuple[int, int]] = {}  # files of others: their number, how far they were read
        self._writer: Appender | None = None
        self._lock = threading.Lock()
        self._claims = Claims(folder)
        self.read_new()
        self._index.compact()

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def __len__(self) -> int:
        return len(self._index)

    def some(self, count: int) -> Iterator[Response]:
        """About so many of the answers, or all where there are fewer, from all over the shelf."""
        for found in self._index.some(max(1, len(self._index) // count)):
            yield self._stored(self._read_line(found), found)

    @asynccontextmanager
    async def claim(self, key: str) -> AsyncIterator[None]:
        """Be the only one of all processes that asks for this; what others stored until then is here.

        Raises:
            StoreError: what they wrote is corrupt, or cannot be read.
        """
        async with self._claims.claim(key) as news:
            # Also where this answer is here already: news is told once, and the next one's may be among it.
            if news:
                self.read_new()
            yield

    def get(self, key: str) -> Response:
        """The stored answer.

        Raises:
            KeyError: there is none.
            StoreError: as `find`.
        """
        found = self.find(key)
        if found is None:
            raise KeyError(key)
        return found

    def find(self, key: str) -> Response | None:
        """The stored answer; None where there is none.

        Raises:
            StoreError: it is no longer what was written, or cannot be read.
        """
        found = self._index.get(key)
        if found is None:
            return None
        line = self._read_line(found)
        if line[8:40] != key.encode():
            raise StoreError(
                f"{self._pieces.path(found)} was changed while it was in use", "Run the same command again."
            )
        return self._stored(line, found)

    def _read_line(self, found: int) -> bytes:
        try:
            return self._pieces.read(found)
        except OSError as error:
            raise StoreError.reading(self._pieces.path(found), error) from error

    def _stored(self, line: bytes, found: int) -> Response:
        try:
            # The fixed front of a line: {"key":"32","crc":"8","value": are 67 bytes, and a brace and a newline end
            # it.
            return parse_response(line[67:-2])
        except StoreError as error:
            raise StoreError(
                f"{self._pieces.path(found)}: what it has of key {line[8:40].decode()} is {error.problem}",
                "Delete that line: its answer will be asked for again.",
            ) from error

    def add(self, key: str, response: Response) -> Response:
        """Write an answer down, and give back the stored one (the first, if there was one already).

        Raises:
            StoreError: the disk is full or cannot be written; nothing torn is left behind.
        """
        with self._lock:
            if key in self:
                return self.get(key)
            # Cleaned before it is written: a half of a character would break every reader of the file, a long way
            # from here.
            response = dataclasses.replace(response, text=clean(response.text), at=time.time())
            line = _line(key, response)
            if self._writer is None:
                self._writer = Appender(self.folder, self._fingerprint)
                self._writer.number = self._pieces.add(self._writer.path)
            offset = self._writer.append(line)
            self._index.add(key, place(self._writer.number, offset, len(line)))
            if not self.batched:  # nobody else waits for what a local model is asked
                self._claims.tell()
        return response

    def sync(self) -> None:
        """Bring what was written to the disk now."""
        with self._lock:
            if self._writer:
                self._writer.sync()

    def close(self) -> None:
        """Bring what was written to the disk and let go of the files."""
        with self._lock:
            if self._writer:
                self._writer.close()
                self._writer = None
            self._claims.close()
            self._pieces.close()
            self._index.clear()

    def read_new(self) -> None:
        """Take in what other processes stored since it was last read.

        Raises:
            StoreError: it is corrupt, or cannot be read.
        """
        with self._lock:
            for path in sorted(self.folder.glob("*.jsonl")):
                if self._writer is None or path != self._writer.path:
                    self._read(path)

    def _read(self, path: Path) -> None:
        first = path not in self._read_to
        number, offset = self._read_to[path] if not first else (self._pieces.add(path), 0)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                for line in file:
                    match = LINE.fullmatch(line)
                    if match and f"{zlib.crc32(match[3]):08x}".encode() == match[2]:
                        # The first answer wins, as in `add`. Two jobs may have asked the same; files are read in the
                        # order of their names.
                        self._index.add(match[1].decode(), place(number, offset, len(line)))
                        offset += len(line)
                    # Only the very end of a file can be torn by a kill, or not be there yet. Anywhere else it is
                    # damage, and guessing would lose answers.
                    elif not line.endswith(b"\n") and not file.read(1):
                        if first:
                            warnings.warn(f"{path}: dropped a torn last line", stacklevel=2)
                    else:
                        raise StoreError(
                            f"{path}, line {_count(path, offset)}, is corrupt",
                            "Delete that line: its answer will be asked for again.",
                        )
                self._read_to[path] = number, offset
        except OSError as error:
            raise StoreError.reading(path, error) from error


def _count(path: Path, offset: int) -> int:
    """The number of the line that begins there."""
    with path.open("rb") as file:
        return file.read(offset).count(b"\n") + 1


def _line(key: str, response: Response) -> bytes:
    fields = {f.name: getattr(response, f.name) for f in dataclasses.fields(response)}
    del fields["sent"], fields["steps"]  # what a defense adds; the engine itself has neither
    if fields["chances"] is None:
        del fields["chances"]
    value = orjson.dumps(fields)
    return b'{"key":"%s","crc":"%08x","value":%s}\n' % (key.encode(), zlib.crc32(value), value)
