"""What people see of a sample: its picture, small or as it was shown, and texts that are safe to show."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from mmsb.defense.image import Transformed
from mmsb.picture import Picture, thumbnail

WIDTH = 256  # pixels; typed text stays readable, and a JPEG of 1024 is decoded at just this size
LONGEST = 16_000  # characters of a text; the whole stands in the run's files
VISIBLE_CONTROLS: dict[int, int | str] = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
# MLflow's UI obeys marks of direction: an answer could show its letters in another order than it has them.
TURNING = (*range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
VISIBLE_CONTROLS |= {code: f"U+{code:04X}" for code in TURNING}


def neutral(text: str | None) -> str:
    """Text that is safe to show: controls and marks of direction spelled out, cut after `LONGEST` characters."""
    text = text or ""
    cut = f" ... ({len(text):,} characters in all: see results.jsonl)" if len(text) > LONGEST else ""
    return text[:LONGEST].translate(VISIBLE_CONTROLS) + cut


def shown_as(picture: Picture, originals: bool) -> str:
    """The picture as a data URI: a small JPEG, or the file that the model was shown."""
    data, media = picture.encoded() if originals else (small(picture), "image/jpeg")
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def small(picture: Picture) -> bytes:
    """The picture as a small JPEG."""
    buffer = io.BytesIO()
    thumbnail(picture, WIDTH).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def as_defended(picture: Picture, defenses: Mapping[str, Any]) -> dict[str, Picture]:
    """A sample's picture and what a run's image defenses made of it, by identity.

    Args:
        picture: the sample's.
        defenses: the settings of the run's defenses, the first sees the picture first.
    """
    found = {picture.identity: picture}
    for defense in defenses.values():
        if isinstance(defense, Mapping) and "how" in defense:
            # A defense that draws several variants shows each under its own identity; what is only shown must be drawn
            # again, since the run keeps no pictures.
            made = [
                Transformed(before, defense["how"], defense["strength"], draw)
                for before in found.values()
                for draw in range(int(defense.get("votes", 1)))
            ]
            found |= {one.identity: one for one in made}
    return found
