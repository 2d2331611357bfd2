"""Runs as one table: CSV for spreadsheets, Parquet for data frames, a folder that Hugging Face's `datasets` loads."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsb.export.rows import COUNTS, FLAGS, NESTED, TEXTS, rows
from mmsb.report.columns import FACETS, Column
from mmsb.report.tables import plain

if TYPE_CHECKING:
    import pyarrow

NAMES = ("run", "folder", *FACETS, *TEXTS, *FLAGS, *COUNTS, "score", *NESTED, "picture")
BATCH = 256
CARD = """---
configs:
- config_name: default
  data_files:
  - split: test
    path: data/test-*.parquet
---
Samples of finished safety evaluations. The answers can be harmful: keep this data set private.
"""


def write_csv(columns: Sequence[Column], folder: Path) -> str:
    """Write samples.csv. Texts that a spreadsheet would run as formulas begin with an apostrophe.

    Returns:
        How to read it.
    """
    path = folder / "samples.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # the mark that spreadsheets know UTF-8 by
        writer = csv.DictWriter(file, NAMES)
        writer.writeheader()
        for row in rows(columns, folder):
            writer.writerow({key: plain(value) if isinstance(value, str) else value for key, value in row.items()})
    return f"table: {path}"


def write_parquet(columns: Sequence[Column], folder: Path) -> str:
    """Write samples.parquet, the texts unchanged.

    Returns:
        How to read it.
    """
    import pyarrow

    path = folder / "samples.parquet"
    _write(rows(columns, folder), path, pyarrow.schema(_fields()))
    return f'pandas.read_parquet("{path}")'


def write_dataset(columns: Sequence[Column], folder: Path) -> str:
    """Write a folder for `datasets.load_dataset`, pictures inside the rows.

    Returns:
        How to read it.
    """
    import pyarrow

    (folder / "data").mkdir(exist_ok=True)
    image = pyarrow.field("picture", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]))
    fields = [field if field.name != "picture" else image for field in _fields()]
    features = {field.name: _feature(field) for field in fields}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    # Without these features `datasets` would show a struct of bytes and path, not a picture.
    schema = pyarrow.schema(fields, metadata=about)
    with tempfile.TemporaryDirectory() as name:
        beside = Path(name)
        # Beside, not in the folder: the pictures travel inside the rows, and lying there too they would be shared
        # twice.
        found = _with_pictures(rows(columns, beside), beside)
        _write(found, folder / "data/test-00000-of-00001.parquet", schema)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return f'datasets.load_dataset("{folder}", split="test")'


def _fields() -> list[pyarrow.Field]:
    import pyarrow

    kinds = dict.fromkeys(NAMES, pyarrow.string())
    kinds |= (
        dict.fromkeys(FLAGS, pyarrow.bool_()) | dict.fromkeys(COUNTS, pyarrow.int64()) | {"score": pyarrow.float64()}
    )
    return [pyarrow.field(name, kinds[name]) for name in NAMES]


def _feature(field: pyarrow.Field) -> dict[str, str]:
    if field.name == "picture":
        return {"_type": "Image"}
    return {"dtype": {"double": "float64"}.get(str(field.type), str(field.type)), "_type": "Value"}


def _with_pictures(found: Iterator[dict[str, Any]], folder: Path) -> Iterator[dict[str, Any]]:
    for row in found:
        path = row["picture"]
        yield row | {"picture": {"bytes": (folder / path).read_bytes(), "path": path} if path else None}


def _write(found: Iterator[dict[str, Any]], path: Path, schema: pyarrow.Schema) -> None:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema) as writer:
        # A part at a time: pictures of a whole run do not fit into memory.
        while batch := list(islice(found, BATCH)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema))
