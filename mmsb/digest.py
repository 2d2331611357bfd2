"""Digests: the identity of things. Same content, same digest, on every machine."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from types import ModuleType

STATE = struct.Struct("<QQqqq")  # a file's device, number, size, and times of writing and of change in nanoseconds
SETTLED = 2_000_000_000  # nanoseconds: what changed so lately may change again before its file system's clock moves
KEPT = 32_768  # digests, of some 300 bytes each
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def digest(value: object) -> str:
    """32 hex digits of SHA-256 over the canonical JSON of `value` (sorted keys, ASCII)."""
    # ASCII, since texts from outside may hold halves of surrogate pairs, which no UTF-8 can carry.
    return digest_bytes(_canonical(value).encode("ascii"))


def digest_bytes(data: bytes) -> str:
    """32 hex digits of SHA-256 over raw bytes."""
    # 128 bits: no two of any number of answers collide, and names of files stay short enough to read.
    return hashlib.sha256(data).hexdigest()[:32]


def digest_file(path: Path) -> str:
    """32 hex digits of SHA-256 over a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


class FileDigests:
    """Digests of files that are needed again and again; each file is read once, as long as it stays as it is.

    The plan of a run looks at all pictures, and the run looks at them again. Who writes to a file, or puts another in
    its place, changes its number, its size or its times; the time of change nobody can set back.
    """

    def __init__(self) -> None:
        """Nothing is known."""
        self._known: dict[str, bytes] = {}

    def of(self, path: Path) -> str:
        """The digest of a file, as `digest_file` has it."""
        name = os.fspath(path)
        known = self._known.get(name)
        if known and known[: STATE.size] == _state(os.stat(name)):
            return known[STATE.size :].hex()
        with open(name, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            found = digest_bytes(file.readall())
            after = os.fstat(file.fileno())
        settled = time.time_ns() - max(after.st_mtime_ns, after.st_ctime_ns) > SETTLED
        if settled and _state(before) == _state(after) and len(self._known) < KEPT:
            self._known[name] = _state(after) + bytes.fromhex(found)
        return found


def _state(found: os.stat_result) -> bytes:
    return STATE.pack(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


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
    """Digest of what modules do, whose rules or wording determine a result: comments, docstrings, layout do not count.

    An edited comment must not make stored answers be asked for again, nor labels look like another judge's.
    """
    return digest([digest_of_source(Path(str(module.__file__)).read_text(encoding="utf-8")) for module in modules])


def digest_of_source(source: str) -> str:
    """Digest of a Python source's syntax tree, without comments, docstrings and layout."""
    return digest_bytes(repr(_syntax(ast.parse(source))).encode())


def _syntax(part: object) -> object:
    """A part of a syntax tree as tuples, the same under every version of Python that we support."""
    if isinstance(part, list):
        return tuple(map(_syntax, part))
    if not isinstance(part, ast.AST):
        return type(part).__name__, ascii(part)
    if isinstance(part, ast.JoinedStr):
        return "JoinedStr", *_joined(part)
    # Newer versions have fields that are empty in code which older ones can read.
    fields = ((name, value) for name, value in ast.iter_fields(part) if value not in (None, []) or name == "value")
    documented = isinstance(part, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return type(part).__name__, *(
        (name, _syntax(value[1:] if name == "body" and documented and _is_docstring(value[0]) else value))
        for name, value in fields
        if name not in ("ctx", "kind")
    )


def _joined(part: ast.JoinedStr) -> Iterator[object]:
    """The pieces of an f-string; literal ones that stand side by side, as some versions leave them, are one."""
    for literal, values in groupby(part.values, lambda value: isinstance(value, ast.Constant)):
        if literal:
            yield from filter(None, ["".join(str(value.value) for value in values if isinstance(value, ast.Constant))])
        else:
            yield from map(_syntax, values)


def _is_docstring(statement: object) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


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
