"""What a dataset lacks and says so: `gaps.json`, {scenario/id: why}, made from what could not be drawn or phrased.

A gap that is declared is no error: the evaluation leaves the question out and counts it, the card names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmsb.create.folder import Folder, write_json
from mmsb.dataset.mm_safetybench import GAPS, read_json
from mmsb.errors import DataError


def read_gaps(folder: Folder) -> dict[str, str]:
    """The declared gaps, by question.

    Raises:
        DataError: the file is not one of ours.
    """
    path: Path = folder.root / GAPS
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict) or not all(isinstance(why, str) for why in found.values()):
        raise DataError(f"{path} does not hold a reason for each question", "Correct or remove the file.")
    return found


def write_gaps(folder: Folder, gaps: Mapping[str, str]) -> None:
    """Write the declared gaps; the file goes when there are none."""
    path: Path = folder.root / GAPS
    if gaps:
        # Sorted, so that the file is the same in whatever order its gaps were found.
        write_json(path, dict(sorted(gaps.items())))
    else:
        path.unlink(missing_ok=True)
