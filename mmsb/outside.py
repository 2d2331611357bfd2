"""Runs and sweeps in folders that somebody named (`hydra.run.dir=...`), for who looks through `output_dir`."""

from __future__ import annotations

import fcntl
import json
import time
from pathlib import Path

FILE = "outside.jsonl"
DATED = "%Y-%m-%d_%H-%M-%S"  # as the folders that nobody named begin
KINDS = ("runs", "sweeps")


def note(output_dir: Path, folder: Path) -> None:
    """Write down where a run or sweep lies, unless that is where all others do.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    output_dir, folder = output_dir.absolute(), folder.absolute()
    if folder.parent in [output_dir / kind for kind in KINDS]:
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / FILE).open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the runs of a sweep begin together
        file.seek(0)
        if str(folder) not in _read(file.read()):
            file.write(json.dumps({"folder": str(folder), "at": time.strftime(DATED)}) + "\n")


def noted(output_dir: Path) -> dict[Path, str]:
    """The folders that are there still, each with when it was first used, as dated folders have it."""
    try:
        found = _read((output_dir / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {Path(folder): at for folder, at in found.items() if Path(folder).is_dir()}


def _read(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        try:
            one = json.loads(line)
            found.setdefault(str(one["folder"]), str(one["at"]))
        except (ValueError, TypeError, KeyError):  # torn, or somebody's own: the others are told all the same
            continue
    return found
