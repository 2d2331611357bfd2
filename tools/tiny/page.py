"""Pages of typed text with the character that lies in each patch: what the vision tower learns to read from.

A page is drawn at half the benchmark's size, in the benchmark's geometry (typed text alone, or below a
picture, padded white to a square), and brought to the tower's resolution. A dense page fills the whole
square with lines instead: every patch then teaches something.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmsb.font import dejavu
from mmsb.image_mode.typography import wrap

SIDE = 192  # pixels of the tower's square input
PATCH = 16
GRID = SIDE // PATCH
SLOTS = 4  # characters a patch is asked for, in reading order
CHARACTERS = "".join(map(chr, range(32, 127)))
EMPTY = len(CHARACTERS)
SIZE, WIDTH = 90, 1024  # the benchmark's letters and paper, in its pixels
PITCH = 88  # from line to line, as Pillow sets DejaVu Sans at 90 pixels
MIDDLE = 45 + 60  # from the paper's top edge to the middle of the first line's small letters


@dataclass(frozen=True)
class Layout:
    """Where text lies in a square of `side` benchmark pixels, and where a picture lies above it."""

    side: int
    left: int
    top: int
    lines: tuple[str, ...]
    picture: bool = False


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(dejavu()), size)


@cache
def _advances() -> dict[str, float]:
    return {character: _font(SIZE).getlength(character) for character in CHARACTERS}


def typed(phrase: str) -> Layout:
    """The phrase as typed text alone: `top` is the upper edge of its first line."""
    lines = tuple(wrap(phrase, _font(SIZE), WIDTH))
    height = SIZE * (len(lines) + 1)
    side = max(WIDTH, height)
    return Layout(side, (side - WIDTH) // 2, (side - height) // 2 + SIZE // 2, lines)


def stacked(phrase: str) -> Layout:
    """The phrase as typed text below a picture of 1024 x 1024."""
    lines = tuple(wrap(phrase, _font(SIZE), WIDTH))
    side = WIDTH + SIZE * (len(lines) + 1)
    return Layout(side, (side - WIDTH) // 2, WIDTH + SIZE // 2, lines, picture=True)


def dense(words: list[str], rng: random.Random) -> Layout:
    """The words in lines over the whole square, at one of the benchmark's scales, a little off."""
    side = round(rng.choice([1024, 1024, 1204, 1294, 1384]) * rng.uniform(0.96, 1.04))
    left, top = rng.randrange(0, 150), rng.randrange(-40, 60)
    lines = wrap(" ".join(words), _font(SIZE), side - left)
    return Layout(side, left, top, tuple(lines[: (side - top - 60) // PITCH]))


def draw(layout: Layout, rng: random.Random) -> np.ndarray:
    """The page's pixels, (SIDE, SIDE, 3) uint8; a random picture stands where the layout has one."""
    half = Image.new("L", (layout.side // 2, layout.side // 2), 255)
    pen, font = ImageDraw.Draw(half), _font(SIZE // 2)
    for index, line in enumerate(layout.lines):
        pen.text((layout.left / 2, (layout.top + index * PITCH) / 2), line, 0, font=font)
    page = half.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")
    if layout.picture:
        scale = SIDE / layout.side
        edge = round(WIDTH * scale)
        page.paste(scenery(edge, rng), (round(layout.left * scale), 0))
    return np.asarray(page)


def scenery(edge: int, rng: random.Random) -> Image.Image:
    """A picture of nothing: soft colours under a few shapes."""
    cells = rng.choice([1, 2, 3, 5, 9])
    noise = bytes(rng.randrange(256) for _ in range(cells * cells * 3))
    image = Image.frombytes("RGB", (cells, cells), noise).resize((edge, edge), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    shapes: list[Callable[..., None]] = [pen.ellipse, pen.rectangle, pen.line]
    for _ in range(rng.randrange(0, 9)):
        x, y = rng.randrange(-20, edge), rng.randrange(-20, edge)
        box = (x, y, x + rng.randrange(4, edge), y + rng.randrange(4, edge))
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        rng.choice(shapes)(box, fill=colour)
    return image


def labels(layout: Layout) -> np.ndarray:
    """The characters in each patch, (GRID * GRID, SLOTS) uint8: indices of CHARACTERS, EMPTY beyond.

    A character belongs to the patch that holds its middle; two lines in one patch stand one after the other.
    """
    result = np.full((GRID * GRID, SLOTS), EMPTY, dtype=np.uint8)
    used = [0] * (GRID * GRID)
    for character, patch in zip("".join(layout.lines), places(layout), strict=True):
        if patch >= 0 and used[patch] < SLOTS:
            result[patch, used[patch]] = ord(character) - 32
            used[patch] += 1
    return result


def places(layout: Layout) -> list[int]:
    """The patch of each character of the text, -1 beyond the page."""
    result = []
    scale = GRID / layout.side
    for index, line in enumerate(layout.lines):
        row = int((layout.top - SIZE // 2 + MIDDLE + index * PITCH) * scale)
        x = float(layout.left)
        for character in line:
            advance = _advances()[character]
            column = int((x + advance / 2) * scale)
            x += advance
            result.append(row * GRID + column if row < GRID and column < GRID else -1)
    return result
