"""Digests: the identity of things. Same content, same digest, on every machine."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from types import ModuleType


def digest(value: object) -> str:
    """32 hex digits of SHA-256 over the canonical JSON of `value` (sorted keys, ASCII)."""
    # ASCII, since texts from outside may hold halves of surrogate pairs, which no UTF-8 can carry.
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return digest_bytes(text.encode("ascii"))


def digest_bytes(data: bytes) -> str:
    """32 hex digits of SHA-256 over raw bytes."""
    # 128 bits: no two of any number of answers collide, and names of files stay short enough to read.
    return hashlib.sha256(data).hexdigest()[:32]


def digest_file(path: Path) -> str:
    """32 hex digits of SHA-256 over a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def digest_folder(folder: Path) -> str:
    """Digest over the names and contents of all files below a folder (a checkpoint, say).

    Gigabytes of weights are read once: digests are kept in the user's cache by path, size and time of
    change, as build tools do.
    """
    cache = _cache_file()
    known = _known(cache)
    before, parts = len(known), []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        stat = path.stat()
        # Nanoseconds: a checkpoint that is trained again in the same second has another time.
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        known[key] = known.get(key) or digest_file(path)
        parts.append([path.relative_to(folder).as_posix(), known[key]])
    if len(known) > before:
        with suppress(OSError):  # a full disk, say: next time they are read again
            write_atomically(cache, json.dumps(known, indent=0))
    return digest(parts)


def _known(cache: Path) -> dict[str, str]:
    """The digests of a cache; none where it is missing, or not one."""
    try:
        found = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    usable = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if usable else {}


def digest_of_code(*modules: ModuleType) -> str:
    """Digest of the source of modules whose rules or wording determine a result."""
    return digest([digest_file(Path(str(module.__file__))) for module in modules])


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file, or leave the old one: never half of it, not even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _cache_file() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "mmsb" / "digests.json"
