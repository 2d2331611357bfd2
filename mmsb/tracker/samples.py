"""The samples of a run as a table for MLflow's UI: what was shown, with its picture, what came back, the verdict.

MLflow's tables are JSON in pandas' "split" form; a cell {"type": "image", "filepath": ...} shows that artifact.
Written here in one go: `log_table` would store every picture twice at full size, one call each.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from PIL import Image

from mmsb.picture import Picture, Stacked, stack
from mmsb.types import Sample

FILE = "samples.json"
COLUMNS = ("id", "scenario", "verdict", "image", "prompt", "response")
WIDTH = 256  # pixels; typed text stays readable, and a JPEG of 1024 is decoded at just this size
LONGEST = 4_000  # characters of a cell; the whole text stands in results.jsonl
VISIBLE_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}


@dataclass(frozen=True, slots=True)
class Shown:
    """One sample as people see it: its row, with neutral texts, and its picture as a small JPEG file."""

    row: Mapping[str, Any]
    prompt: str
    response: str
    image: Path | None


def neutral(text: str | None) -> str:
    """Text that is safe to show: control characters made visible, cut after `LONGEST` characters."""
    text = text or ""
    cut = f" ... ({len(text):,} characters in all: see results.jsonl)" if len(text) > LONGEST else ""
    return text[:LONGEST].translate(VISIBLE_CONTROLS) + cut


def shown(rows: Iterable[Mapping[str, Any]], asked: Iterable[Sample], folder: Path) -> Iterator[Shown]:
    """The samples in their order; pictures are drawn into `folder`/images, each distinct one once.

    Args:
        rows: the rows of the results file.
        asked: the same samples, in the same order.
        folder: where the pictures go.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for row, sample in zip(rows, asked, strict=True):
        assert row["id"] == sample.id
        picture = sample.prompt.image
        image = small(picture, folder / "images") if picture and row["image"] else None
        reply = row["response"] if row["response"] is not None else f"[{row['cause']}: {row['message']}]"
        yield Shown(row, neutral(row["prompt"]), neutral(reply), image)


def small(picture: Picture, folder: Path) -> Path:
    """The picture's small JPEG, named by its identity; made only if it is not there yet."""
    path = folder / f"{picture.identity}.jpg"
    if not path.exists():
        parts: list[Image.Image] = [Image.open(io.BytesIO(data)) for data in _files(picture)]
        scale = min(1.0, WIDTH / max(part.width for part in parts))
        for part in parts:  # each is decoded at its small size only: ten times faster than the whole
            size = max(1, round(part.width * scale)), max(1, round(part.height * scale))
            part.thumbnail(size, reducing_gap=1.0)
        reduce(stack, (part.convert("RGB") for part in parts)).save(path, "JPEG", quality=80)
    return path


def _files(picture: Picture) -> list[bytes]:
    """The image files that make up a picture, from top to bottom."""
    if isinstance(picture, Stacked):
        return _files(picture.top) + _files(picture.bottom)
    return [picture.encoded()[0]]


def write_table(samples: Iterable[Shown], folder: Path) -> None:
    """Write `samples.json` into `folder`, row by row."""
    with (folder / FILE).open("w", encoding="ascii") as file:
        file.write(f'{{"columns": {json.dumps(COLUMNS)}, "data": [')
        for number, sample in enumerate(samples):
            file.write((",\n" if number else "\n") + json.dumps(_cells(sample, folder)))
        file.write("]}\n")


def _cells(sample: Shown, folder: Path) -> list[Any]:
    row, image = sample.row, None
    if sample.image:
        path = sample.image.relative_to(folder).as_posix()
        image = {"type": "image", "filepath": path, "compressed_filepath": path}
    return [row["id"], row["scenario"], row["label"], image, sample.prompt, sample.response]
