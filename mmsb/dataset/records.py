"""The authors' list of the tiny subset, by a strict schema."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mmsb.errors import DataError
from mmsb.schemas import BROKEN


class TinyList(msgspec.Struct, frozen=True):
    """One scenario's ids in the authors' list of the tiny subset."""

    scenario: str = msgspec.field(name="Scenario")
    # Numbers in the authors' list, texts as keys of their records.
    ids: list[int | str] = msgspec.field(name="Sampled_ID_List")


def parse_tiny_list(path: Path) -> list[TinyList]:
    """The authors' list of the tiny subset.

    Raises:
        DataError: missing or broken.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[TinyList])
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "Check dataset.root.") from error
    except BROKEN as error:
        raise DataError(f"{path}: {error}", "Restore the file from its source.") from error
