"""How many tokens a prompt comes to, before anybody has counted them: of its text by letters, of its picture by rules.

The rules are those that providers publish for billing (OpenAI, "Images and vision", calculating costs; Anthropic,
"Vision"; Google, "Understand and count tokens", and for Gemini 3 "Media resolution"). Where OpenAI's page and its bills
differ the bills count, as users measured them in its forum (gpt-5-mini, gpt-5-nano, gpt-5.2; later ones are put at what
gpt-5.2 takes). Then there is what the processors of open models do (Qwen-VL,
LLaVA-1.5, Gemma 3, Idefics3, SmolVLM, Pixtral). A local model's checkpoint tells itself (`mmsb.model.picture_tokens`).
Of any other model there is a guess and a bound, and the plan says so. What a model has counted for prompts of the same
kind goes before all of this, see `mmsb.preflight.lines`.
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
from mmsb.model.local import Local
from mmsb.model.picture_tokens import tokens_of_pictures
from mmsb.picture import FORMATS, FilePicture, Picture, Stacked
from mmsb.types import Prompt

LETTERS, OTHER_LETTERS = 4.0, 1.5  # that make a token: of ASCII (English), of all other scripts, roughly
A_CALL = 8.0  # tokens that a chat template puts around a turn
ANSWER = 250.0  # tokens of an answer where none of the model's is known
SUPPOSED = 765.0  # tokens of a picture where no rule is known: OpenAI's for 1024 x 1024
SMALLEST_PATCH = 16  # pixels of a side that a token stands for at the least: Pixtral's
TYPICAL = (1024, 1024)  # pixels, of a picture whose size is not told by its header
Size = tuple[int, int]

TILES = {  # for the whole picture, for each tile of 512 pixels
    "gpt-4o-mini": (2833, 5667),
    "gpt-4o": (85, 170),
    "chatgpt-4o": (85, 170),
    "gpt-4.1": (85, 170),
    "gpt-4-turbo": (85, 170),
    "gpt-5": (70, 140),
    "gpt-5.1": (70, 140),
    "o1": (75, 150),
    "o3": (75, 150),
}
PATCHES = {
    "gpt-4.1-mini": 1.62,
    "gpt-4.1-nano": 2.46,
    "gpt-5-mini": 1.2,
    "gpt-5-nano": 1.5,
    "gpt-5.": 1.2,
    "o4-mini": 1.72,
}
MOST_PATCHES = 1536
MERGED = {"qwen2-vl": 28, "qwen2.5-vl": 28, "qwen3-vl": 32}  # pixels of a side that one token stands for
ALWAYS = {"llava-1.5": 576, "llava-v1.5": 576, "gemma-3-": 256, "gemma3": 256}  # whatever the picture's size
# Of each tile, four along the longer side, and of one that shows the whole.
FOUR_TILES = {"smolvlm2-2.2b": 81, "smolvlm-instruct": 81, "smolvlm": 64, "idefics3": 169}


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

    def most(self, picture: Picture) -> float:
        """The same, at most: of a model that there is no rule for, what its like take where they take the most."""
        if self.known:
            return self.tokens(picture)
        return max(SUPPOSED, math.prod(self._shown(size_of(picture))) / SMALLEST_PATCH**2)

    def _shown(self, size: Size) -> Size:
        """After the engine's own shrinking."""
        side = getattr(self.engine, "max_image_side", None)
        return within(size, side) if side else size

    @cached_property
    def _rule(self) -> Callable[[Size], float] | None:
        if isinstance(self.engine, Local) and (told := tokens_of_pictures(self.engine)):
            return told
        name = self.engine.name.rpartition("/")[2].casefold()
        if "claude" in name:
            return lambda size: min(1600.0, math.prod(within(size, 1568)) / 750)
        if "gemini-3" in name:
            return lambda size: 1120.0
        if "gemini" in name:
            return lambda size: 258.0 * (1 if max(size) <= 384 else _tiles(size, 768))
        return self._open(name) or self._openai(name)

    def _open(self, name: str) -> Callable[[Size], float] | None:
        """Of open models, by what their processors do."""
        if count := next((count for part, count in ALWAYS.items() if part in name), None):
            return lambda size: float(count)
        if side := next((side for part, side in MERGED.items() if part in name), None):
            return lambda size: math.prod(size) / side**2
        if each := next((each for part, each in FOUR_TILES.items() if part in name), None):
            return lambda size: each * (1.0 + 4 * math.ceil(4 * min(size) / max(size)))
        if "pixtral" in name:
            return lambda size: float(_tiles(within(size, 1024), SMALLEST_PATCH))
        return None

    def _openai(self, name: str) -> Callable[[Size], float] | None:
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


def kind_of(picture: Picture) -> str:
    """What pictures of about one size have in common: how they are made, and of files the folder (`SD`, `TYPO`)."""
    return Path(picture.path).parent.name if isinstance(picture, FilePicture) else type(picture).__name__


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
