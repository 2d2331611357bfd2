"""How many tokens a prompt comes to, before anybody has counted them: of its text by letters, of its picture by rules.

The rules are those that providers publish for billing (OpenAI, "Images and vision", calculating costs; Anthropic,
"Vision"; Google, "Understand and count tokens"; Qwen's preprocessor: one token for each merged patch), read 2025-11.
What a model has counted for prompts of the same kind goes before all of this, see `mmsb.preflight.lines`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from mmsb.image_mode.typography import TypedText
from mmsb.model.base import Engine
from mmsb.model.batch_memory import shape
from mmsb.model.local import Local
from mmsb.picture import FORMATS, FilePicture, Picture, Stacked
from mmsb.types import Prompt

LETTERS, OTHER_LETTERS = 4.0, 1.5  # that make a token: of ASCII (English), of all other scripts, roughly
A_CALL = 8.0  # tokens that a chat template puts around a turn
ANSWER = 250.0  # tokens of an answer where none of the model's is known
SUPPOSED = 765.0  # tokens of a picture where no rule is known: OpenAI's for 1024 x 1024
TYPICAL = (1024, 1024)  # pixels, of a picture whose size is not told by its header
Size = tuple[int, int]

TILES = {  # for the whole picture, for each tile of 512 pixels
    "gpt-4o-mini": (2833, 5667),
    "gpt-4o": (85, 170),
    "chatgpt-4o": (85, 170),
    "gpt-4.1": (85, 170),
    "gpt-4-turbo": (85, 170),
    "gpt-5": (70, 140),
    "o1": (75, 150),
    "o3": (75, 150),
}
PATCHES = {"gpt-4.1-mini": 1.62, "gpt-4.1-nano": 2.46, "gpt-5-mini": 1.62, "gpt-5-nano": 2.46, "o4-mini": 1.72}
MOST_PATCHES = 1536
MERGED = {"qwen2-vl": 28, "qwen2.5-vl": 28, "qwen3-vl": 32}  # pixels of a side that one token stands for


def of_text(prompt: Prompt) -> float:
    """Tokens of everything that is said in a prompt."""
    said = "".join(filter(None, (prompt.system, prompt.text, prompt.reply)))
    plain = len(said) if said.isascii() else sum(letter < "\x80" for letter in said)
    return plain / LETTERS + (len(said) - plain) / OTHER_LETTERS + A_CALL


@dataclass(frozen=True)
class Pictures:
    """What pictures cost one engine, in tokens."""

    engine: Engine

    @property
    def known(self) -> bool:
        """Whether there is a rule for the model."""
        return self._rule is not None

    def tokens(self, picture: Picture) -> float:
        """Of one picture."""
        rule = self._rule
        return SUPPOSED if rule is None else rule(self._shown(size_of(picture)))

    def _shown(self, size: Size) -> Size:
        """After the engine's own shrinking."""
        side = getattr(self.engine, "max_image_side", None)
        return within(size, side) if side else size

    @cached_property
    def _rule(self) -> Callable[[Size], float] | None:
        name = self.engine.name.rpartition("/")[2].casefold()
        if "claude" in name:
            return lambda size: math.prod(within(size, 1568)) / 750
        if "gemini" in name:
            return lambda size: 258.0 * (1 if max(size) <= 384 else _tiles(size, 768))
        if isinstance(self.engine, Local) and (sizes := shape(self.engine)) and (tokens := sizes.picture):
            return lambda size: float(tokens)
        for part, side in MERGED.items():
            if part in name:
                return lambda size: math.prod(size) / side**2
        # The longest name counts: "gpt-4o-mini" begins with "gpt-4o", and costs 33 times as much a tile.
        for start in sorted({*TILES, *PATCHES}, key=len, reverse=True):
            if name.startswith(start):
                return self._patches(PATCHES[start]) if start in PATCHES else self._tiled(*TILES[start])
        return None

    def _tiled(self, whole: int, tile: int) -> Callable[[Size], float]:
        if getattr(self.engine, "detail", None) == "low":
            return lambda size: float(whole)
        return lambda size: float(whole + tile * _tiles(shortest(within(size, 2048), 768), 512))

    @staticmethod
    def _patches(factor: float) -> Callable[[Size], float]:
        return lambda size: min(MOST_PATCHES, _tiles(size, 32)) * factor


def _tiles(size: Size, side: int) -> int:
    return math.ceil(size[0] / side) * math.ceil(size[1] / side)


def within(size: Size, side: int) -> Size:
    """Shrunk so that no side is longer."""
    factor = min(1.0, side / max(size))
    return round(size[0] * factor), round(size[1] * factor)


def shortest(size: Size, side: int) -> Size:
    """Shrunk so that the shorter side is no longer than `side`."""
    factor = min(1.0, side / min(size))
    return round(size[0] * factor), round(size[1] * factor)


def size_of(picture: Picture) -> Size:
    """Width and height in pixels, without decoding or drawing."""
    if isinstance(picture, Stacked):
        top, bottom = size_of(picture.top), size_of(picture.bottom)
        return max(top[0], bottom[0]), top[1] + bottom[1]
    if isinstance(picture, TypedText):
        return picture.width, picture.size * (len(picture.lines) + 1)
    return _in_header(picture.path) if isinstance(picture, FilePicture) else TYPICAL


def _in_header(path: Path | str) -> Size:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):  # said where it is shown to a model
        return TYPICAL
