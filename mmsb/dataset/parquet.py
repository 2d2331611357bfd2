"""Parquet files of questions with pictures in their cells, read only as far as they are asked.

id: string, question: string, image: {bytes: binary, path: string} (null where there is none)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from mmsb.errors import DataError
from mmsb.picture import BytesPicture

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

GROUPS_KEPT = 4  # row groups of pictures held in memory, some 15 MB each: neighbours are asked one after the other


@dataclass(frozen=True)
class CellPicture:
    """A picture in a parquet file, by row group, row and column; read when asked, known by its content."""

    file: Path
    group: int
    row: int
    column: str = "image"

    @cached_property
    def identity(self) -> str:
        """Digest of the picture's bytes: the same as of the authors' file."""
        return self._held().identity

    def encoded(self) -> tuple[bytes, str]:
        """The bytes as they are."""
        return self._held().encoded()

    def load(self) -> Image.Image:
        """The decoded picture, RGB."""
        return self._held().load()

    def _held(self) -> BytesPicture:
        data = picture_bytes(self.file, self.group, self.row, self.column)
        assert data is not None  # who made it looked
        return BytesPicture(data, f"row {self.row} of row group {self.group} in {self.file}")


def opened(file: Path, columns: Collection[str] = ("id", "question", "image")) -> ParquetFile:
    """Open a file that has these columns.

    Raises:
        DataError: it cannot be read, or lacks one.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        # Not `read_table`: that would take every picture of the file into memory.
        found = ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise DataError(f"{file} is not a readable parquet file: {error}", "Get the file again.") from error
    if lacking := set(columns) - set(found.schema_arrow.names):
        raise DataError(f"{file} lacks the column {', '.join(sorted(lacking))}", "Get the file again.")
    return found


@lru_cache
def places(file: Path) -> dict[str, tuple[int, int]]:
    """Row group and row of each id."""
    whole = opened(file, ("id",))
    # ids alone: the pictures of a group are decompressed only when one of them is shown
    groups = (whole.read_row_group(n, ["id"])["id"].to_pylist() for n in range(whole.num_row_groups))
    return {key: (number, row) for number, keys in enumerate(groups) for row, key in enumerate(keys)}


@lru_cache(GROUPS_KEPT)
def _pictures(file: Path, group: int, column: str) -> Any:
    """One row group's column of pictures."""
    return opened(file, (column,)).read_row_group(group, [column])[column]


def picture_bytes(file: Path, group: int, row: int, column: str = "image") -> bytes | None:
    """The picture's file in a cell; None for an empty cell."""
    cell = _pictures(file, group, column)[row].as_py()
    return cell["bytes"] if cell else None
