"""Digests: the identity of things. Same content, same digest, on every machine."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from types import ModuleType

import orjson

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def digest(value: object) -> str:
    """32 hex digits of SHA-256 over the canonical JSON of `value` (sorted keys, ASCII)."""
    # ASCII, since texts from outside may hold halves of surrogate pairs, which no UTF-8 can carry.
    return digest_bytes(_canonical(value).encode("ascii"))


def digest_of_plain(values: Sequence[str | int | None]) -> str:
    """The same as `digest`, of texts and numbers in a row, in a third of the time where all texts are ASCII."""
    try:
        data = orjson.dumps(values)
    except orjson.JSONEncodeError:  # halves of surrogate pairs, numbers of more than 64 bits
        return digest(values)
    # The one letter of ASCII that the one writes as it is, and the other escaped.
    return digest_bytes(data) if data.isascii() and b"\x7f" not in data else digest(values)


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
    cache = cache_folder() / "digests.json"
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


@lru_cache(maxsize=64)  # each run of a sweep takes those of its judge
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
    draft = draft_of(path)
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """Where a file is written before it gets its name: hidden, beside it, and nobody else's."""
    # By chance, not by the process's number: threads share one, and hosts with a folder in common have the same ones.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def cache_folder() -> Path:
    """Where digests are kept for all runs of a user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")) / "mmsb"
