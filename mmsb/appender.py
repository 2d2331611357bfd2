"""A file of lines that only grows: a line is written whole or not at all, and is on the disk soon after."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path

from mmsb.errors import StoreError

SYNC_SECONDS = 0.05


class Appender:
    """Appends whole lines to a file of this process; a thread brings them to the disk."""

    def __init__(self, folder: Path, fingerprint: dict[str, object]) -> None:
        """Make the file, and the folder with what its answers depend on.

        Raises:
            StoreError: it cannot be made.
        """
        self.number = 0  # among the files of its shelf
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        # The time first, so that files sort by age; the host, since two machines that share a disk have the same
        # process ids.
        name = f"{stamp}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
        self.path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # For people only: it is never read back, and the folder's name is the digest of it.
            (folder / "fingerprint.json").write_text(json.dumps(fingerprint, indent=1, sort_keys=True) + "\n")
            self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError.writing(self.path, error) from error
        self._size = 0
        self._lost: OSError | None = None
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_syncing, name="mmsb-store-sync", daemon=True)
        self._thread.start()

    def append(self, line: bytes) -> int:
        """Write one line whole, or nothing of it; returns its offset.

        Raises:
            StoreError: the disk is full, or took an earlier line and did not keep it.
        """
        self._refuse_lost()
        offset, rest = self._size, memoryview(line)
        try:
            # A disk that is nearly full writes part of it, and fails only the next time.
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            # The torn front goes, or the next line would be glued to it and both be lost.
            os.ftruncate(self.descriptor, offset)
            raise StoreError.writing(self.path, error) from error
        self._size += len(line)
        self._dirty.set()
        return offset

    def sync(self) -> None:
        """Bring what was written to the disk now.

        Raises:
            StoreError: the disk did not keep it.
        """
        self._bring()
        self._refuse_lost()

    def close(self) -> None:
        """Bring what was written to the disk and let go of the file.

        Raises:
            StoreError: the disk did not keep it.
        """
        self._closing.set()
        self._dirty.set()
        self._thread.join()
        self._bring()
        os.close(self.descriptor)
        self._refuse_lost()

    def _keep_syncing(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self._bring()
            # One fsync for all that came meanwhile: one for each answer would take as long as the answers of a fast
            # endpoint.
            self._closing.wait(SYNC_SECONDS)

    def _bring(self) -> None:
        try:
            os.fsync(self.descriptor)
            # Else it would go on, and pay, for answers that nobody can read.
            if not os.fstat(self.descriptor).st_nlink and not self.path.exists():
                raise FileNotFoundError(errno.ENOENT, "it was deleted while answers were written to it")
        except OSError as error:
            # The system tells a lost write once: whoever asks again is told that all is well.
            self._lost = self._lost or error

    def _refuse_lost(self) -> None:
        if self._lost:
            raise StoreError.writing(self.path, self._lost) from self._lost
