"""What is under way at a batch interface, on disk: a kill at any step loses no batch and submits none twice.

    outputs/store/<model>/batches/lock            held by the run that submits and collects
                                  <name>.jsonl    the requests, until they are uploaded
                                  <name>.json     {"keys": [...], "file": "file-1", "batch": null, "at": 1764210000.0}

Requests alone were never submitted and are dropped. A record without a batch may have been submitted: it is looked for
at the server, by its file. A record with a batch is at the server, until its answers are in the store.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from mmsb.errors import ModelError, StoreError
from mmsb.types import How

LEFT = (".jsonl", ".draft", ".answers")  # by a kill: never submitted, or at the server still


class Record(msgspec.Struct, frozen=True):
    """A batch, from before it is submitted until its answers are stored.

    Attributes:
        name: of its files here.
        keys: of its prompts.
        file: the server's name of the requests.
        how: how they are asked, which says how their answers are read.
        batch: the server's name of the batch; None until it is known.
        at: when this was written, in seconds since the epoch.
    """

    name: str
    keys: list[str]
    file: str
    how: How | None = None
    batch: str | None = None
    at: float = 0.0


class Ledger:
    """The records of one model. One run at a time has it."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.folder = folder
        self._open = ExitStack()

    def __enter__(self) -> Ledger:
        """Take the lock; drop what a kill left half done.

        Raises:
            ModelError: another run has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._open.enter_context((self.folder / "lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._open.close()
            raise ModelError(
                f"another run waits for batches of this model ({self.folder})",
                "Wait until it has ended, or end it: its batches stay at the server, and the next run collects them.",
            ) from error
        for path in self.folder.iterdir():
            # Only now: without the lock they may be another run's, at work.
            if path.suffix in LEFT:
                path.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def records(self) -> list[Record]:
        """What is under way, or may be.

        Raises:
            StoreError: a record is broken.
        """
        return [_record(path) for path in sorted(self.folder.glob("*.json"))]

    def place(self, record: Record) -> Path:
        """The record's file."""
        return self.folder / f"{record.name}.json"

    def write(self, record: Record) -> Record:
        """Bring a record to the disk, whole, before anything else happens.

        Raises:
            StoreError: it cannot be written.
        """
        # Of this writing: `_found` waits from here on until a server must have listed the batch.
        record = msgspec.structs.replace(record, at=time.time())
        path = self.place(record)
        draft = path.with_suffix(".draft")
        try:
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            # The folder too: after a power cut a renamed file may have its old name without.
            _sync(self.folder)
        except OSError as error:
            raise StoreError.writing(path, error) from error
        return record

    def drop(self, record: Record) -> None:
        """Forget a batch: its answers are stored, or it never was one."""
        self.place(record).unlink(missing_ok=True)


def under_way(store: Path) -> Iterator[str]:
    """A line for each model of which batches are, or may be, at a server; nothing is locked or changed."""
    for folder in sorted(store.glob("*/batches")):
        try:
            records = [_record(path) for path in sorted(folder.glob("*.json")) if path.is_file()]
        except StoreError as error:
            yield f"{error.problem}. {error.remedy}"
            continue
        if records:
            prompts = sum(len(record.keys) for record in records)
            names = ", ".join(record.batch or "one that may have been submitted" for record in records)
            yield f"{folder}: {prompts:,} prompts are in batches ({names}); the same command collects them"


def _record(path: Path) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        # Not passed over: its batch is at the server and will be billed.
        raise StoreError(
            f"{path} cannot be read: {error}",
            "It names a batch at the server. Delete it to have its prompts submitted again.",
        ) from error


def _sync(folder: Path) -> None:
    """Bring a new name in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
