"""The pictures of finished runs as thumbnails: each distinct one found again, made small and written once."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from mmsb.config import TARGET_PACKAGES
from mmsb.dataset.base import OwnScenarios
from mmsb.digest import draft_of
from mmsb.errors import MmsbError
from mmsb.judge.finished import FinishedRun
from mmsb.picture import Picture, thumbnail
from mmsb.report.finished import Finished
from mmsb.scenario import Scenario

WIDTH, TALLEST = 224, 448  # pixels: typed text stays readable
QUALITY = 60  # of WebP: 1 to 4 KB a typed picture, 6 KB a photograph


@dataclass(frozen=True)
class Recorded(FinishedRun):
    """A run whose record is known already, though it may still go on."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> Mapping[str, Any]:
        """The run's record."""
        return self.values

    @cached_property
    def scenarios(self) -> Mapping[str, Scenario]:
        """All that the run asks about, by id."""
        chosen = {item["name"] for item in (self.values["config"].get("scenario") or {}).values()}
        own = isinstance(self.dataset, OwnScenarios)
        return {scenario.id: scenario for scenario in self.named.values() if own or scenario.name in chosen}


@dataclass(frozen=True)
class Pictures:
    """Thumbnails of a run's pictures in a folder that all runs of a report share.

    Attributes:
        run: the run.
        into: where the thumbnails go, named by the pictures' digests.
        packages: the packages that the run's dataset may come from.
    """

    run: Finished
    into: Path
    packages: Sequence[str] = TARGET_PACKAGES

    @cached_property
    def _finished(self) -> FinishedRun:
        return Recorded(self.run.folder, self.packages, self.run.values)

    @cached_property
    def _at_hand(self) -> bool:
        """Whether the run's dataset can be read now; asked once."""
        try:
            return bool(self._finished.records)
        except MmsbError:
            return False

    def thumbnail(self, row: Mapping[str, Any]) -> str | None:
        """The file name of a row's picture in `into`; None where there is none, or it is not to be found again."""
        identity = row["image"]
        # It becomes a file's name: a row from elsewhere may hold any text.
        if not isinstance(identity, str) or not identity.isalnum():
            return None
        path = self.into / f"{identity}.webp"
        if _is_whole(path):
            return path.name
        try:
            picture = original(self._finished, row) if self._at_hand else None
            if picture is None:
                return None
            _write(small(picture), path)
        except MmsbError:  # the file is gone or broken: the page says that it is not at hand
            return None
        return path.name


def original(run: FinishedRun, row: Mapping[str, Any]) -> Picture | None:
    """A row's picture at its full size; None where there is none or it is not to be found again.

    A defense may have shown another picture than the dataset's: nothing is put in its place.

    Raises:
        MmsbError: the dataset is not there any more, or cannot be read.
    """
    scenario = run.named.get(row["scenario"])
    record = run.records[scenario.id].get(row["question_id"]) if scenario and row["image"] else None
    picture = run.image_mode.picture(record, run.dataset) if record else None
    return picture if picture is not None and picture.identity == row["image"] else None


def small(picture: Picture) -> Image.Image:
    """The picture at most `WIDTH` wide and `TALLEST` tall, RGB.

    Raises:
        DataError: not a readable image.
    """
    whole = thumbnail(picture, WIDTH)
    whole.thumbnail((WIDTH, TALLEST))
    return whole


def _is_whole(path: Path) -> bool:
    """Whether a thumbnail is there and has the length that it says: after a power cut it may be empty or torn."""
    # Thousands of them are not brought to the disk one by one, which would take longer than to make them.
    try:
        with path.open("rb") as file:
            kind, length = file.read(4), int.from_bytes(file.read(4), "little")
            return kind == b"RIFF" and length + 8 == os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return False


def _write(image: Image.Image, path: Path) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    # Two commands may write the same picture at the same time.
    draft = draft_of(path)
    draft.write_bytes(buffer.getvalue())
    draft.replace(path)
