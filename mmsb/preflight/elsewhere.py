"""Answers that a model gave under other settings: they are none of these settings, and who changed one is told so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmsb.store import Shelf

SHOWN, FEW = 40, 3  # letters of a value; settings that are told
ALIKE = 8  # letters that stand before the first one that differs
FINGERPRINT = "fingerprint.json"


def elsewhere(shelf: Shelf, fingerprint: Mapping[str, object]) -> str | None:
    """Which settings keep the nearest answers of that name from being these; None where there are some of these.

    Args:
        shelf: of the settings that are asked with.
        fingerprint: theirs.
    """
    if len(shelf):
        return None
    # Through JSON, as the others were: a tuple is a list there.
    mine = dict(_flat(json.loads(json.dumps(fingerprint))))
    found = [_differences(theirs, mine) for folder in _others(shelf.folder) if (theirs := _of(folder)) is not None]
    # The nearest: it is one changed setting that somebody may have changed without wanting to.
    return _told(min(found, key=lambda keys: (len(keys), keys))) if found else None


def _told(differences: list[str]) -> str:
    more = f", and {len(differences) - FEW} more" if len(differences) > FEW else ""
    return ", ".join(differences[:FEW]) + more


def _others(folder: Path) -> Iterator[Path]:
    # The folder's name is the model's, and twelve digits.
    for other in sorted(folder.parent.glob(f"{folder.name[:-12]}{'[0-9a-f]' * 12}")):
        if other != folder and any(path.stat().st_size for path in other.glob("*.jsonl")):
            yield other


def _of(folder: Path) -> dict[str, object] | None:
    try:
        return dict(_flat(json.loads((folder / FINGERPRINT).read_text(encoding="utf-8"))))
    except (OSError, ValueError, RecursionError):  # no reason to stop a plan: it is only told less
        return None


def _flat(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}".lstrip("."))
    else:
        yield key, value


def _differences(theirs: Mapping[str, object], mine: Mapping[str, object]) -> list[str]:
    keys = sorted(key for key in {*theirs, *mine} if theirs.get(key) != mine.get(key))
    return [f"{key} {_told_apart(json.dumps(theirs.get(key)), json.dumps(mine.get(key)))}" for key in keys]


def _told_apart(was: str, now: str) -> str:
    """Two values, where they are long from just before the place at which they part."""
    parted = next((place for place, (one, other) in enumerate(zip(was, now, strict=False)) if one != other), 0)
    begin = parted - ALIKE if max(len(was), len(now)) > SHOWN else 0
    return f"was {_short(was, begin)}, is {_short(now, begin)}"


def _short(text: str, begin: int) -> str:
    shown = f"...{text[begin:]}" if begin > 0 else text
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
