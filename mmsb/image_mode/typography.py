"""Typed text: a key phrase drawn as the benchmark's authors draw it.

White, 1024 pixels wide, black text from (0, size / 2), height = size x (lines + 1). Words are wrapped
greedily on the summed `textlength` of " " + word; a word that would bring the sum to the width or more
begins a new line, and a continued line begins with one blank. With their font (Arial, 90 pixels) and the
same Pillow the pixels are theirs. Beyond their procedure, scripts that are written without blanks (Chinese,
Japanese, Thai, ...) may also break between their letters, and letters that the font lacks come from others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import PIL
from PIL import Image, ImageDraw, ImageFont, features

from mmsb.digest import digest
from mmsb.errors import DataError
from mmsb.font import default_font, font_digest, fonts_for, lacks
from mmsb.picture import decode, jpeg

if TYPE_CHECKING:
    import re  # whose patterns those of regex are like

LEADING = 4  # pixels between lines, Pillow's default


@cache
def _load(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


@lru_cache(maxsize=1 << 16)  # words come again and again
def _length(text: str, font: ImageFont.FreeTypeFont) -> float:
    """`ImageDraw.textlength` of a text in pixels."""
    # In mode "L", as `ImageDraw.textlength` asks for pictures in grey or colour: mode "1" has other widths.
    try:
        return font.getlength(text, "L")
    except RuntimeError as error:  # the layout library's, of controls that are no letters
        raise DataError(
            f"{text!r} cannot be typed: {error}", "Take the letters that cannot be seen out of the key phrase."
        ) from error


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break `text` into lines, the authors' way.

    Returns:
        The lines; each that begins with a word, but the first, begins with one blank.
    """
    return _wrap(text, partial(_length, font=font), width)


def _wrap(text: str, length: Callable[[str], float], width: int) -> list[str]:
    first, *rest = pieces(text)
    lines, total = [first], length(first)
    for piece in rest:
        added = length(piece)
        total += added
        # below and not up to the width, as theirs: a word that fits to the pixel begins a new line
        if total < width:
            lines[-1] += piece
        else:
            lines.append(piece)
            total = added
    return lines


def pieces(text: str) -> list[str]:
    """What a line may be broken between: words with their blanks, letters of scripts without blanks."""
    if text.isascii() or not _without_blanks()[0].search(text):
        # a phrase in plain letters takes this way alone, so that its pixels stay the authors'
        first, *rest = text.split(" ")
        return [first, *(f" {word}" for word in rest)]
    return [match[0] for match in _without_blanks()[1].finditer(text)]


@cache
def _without_blanks() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds a letter of a script without blanks, and what cuts a text with such letters into pieces."""
    import regex

    script = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
    opening, closing = r"[\p{Ps}\p{Pi}]*", r"[\p{Pe}\p{Pf}、。，．！？：；・ー々]*"  # stay with what they enclose  # noqa: RUF001
    other = rf"(?:(?!{script})[^\s\p{{Ps}}\p{{Pi}}])+"
    return regex.compile(script), regex.compile(rf"\s?{opening}(?:(?={script})\X|{other}){closing}|\s|.")


def typeset(text: str, font: ImageFont.FreeTypeFont, width: int = 1024) -> Image.Image:
    """Draw `text`: an RGB image `width` wide and size x (lines + 1) high."""
    return _drawn(wrap(text, font, width), font, width)


def _drawn(lines: Sequence[str], font: ImageFont.FreeTypeFont, width: int) -> Image.Image:
    size = int(font.size)
    image = Image.new("L", (width, size * (len(lines) + 1)), 255)  # one channel drawn is three channels drawn
    ImageDraw.Draw(image).text((0, size / 2.0), "\n".join(lines), 0, font=font)
    return image.convert("RGB")


@dataclass(frozen=True)
class Mixed:
    """Several fonts of one size: each letter in the first that has it."""

    fonts: tuple[Path, ...]
    size: int

    def runs(self, text: str) -> list[tuple[str, ImageFont.FreeTypeFont]]:
        """A line cut where the font changes; a mark stays with the letter before it."""
        found: list[tuple[str, Path]] = []
        for cluster in _clusters(text):
            font = next((font for font in self.fonts if not lacks(font, cluster)), self.fonts[-1])
            if found and found[-1][1] == font:
                found[-1] = (found[-1][0] + cluster, font)
            else:
                found.append((cluster, font))
        return [(run, _load(font, self.size)) for run, font in found]

    def length(self, text: str) -> float:
        """The width of a line in pixels."""
        return sum(_length(run, font) for run, font in self.runs(text))

    def typeset(self, text: str, width: int) -> Image.Image:
        """Draw `text` line by line on the first font's base lines."""
        first = _load(self.fonts[0], self.size)
        lines = _wrap(text, self.length, width)
        image = Image.new("L", (width, self.size * (len(lines) + 1)), 255)
        pen, pitch = ImageDraw.Draw(image), first.getbbox("A")[3] + LEADING
        for number, line in enumerate(lines):
            # base lines, not tops: letters of two fonts stand on one line only by these
            x, base = 0.0, self.size / 2 + first.getmetrics()[0] + number * pitch
            for run, font in self.runs(line):
                pen.text((x, base), run, 0, font=font, anchor="ls")
                x += _length(run, font)
        return image.convert("RGB")


def _clusters(text: str) -> list[str]:
    import regex

    return [match[0] for match in regex.finditer(r"\X", text)]


@dataclass(frozen=True)
class TypedText:
    """A phrase as typed text. `font` None is the default font; `size` and `width` in pixels.

    `fallback` are fonts for the letters that `font` lacks.
    """

    text: str
    font: Path | None = None
    size: int = 90
    width: int = 1024
    fallback: tuple[Path, ...] = ()

    @cached_property
    def fonts(self) -> tuple[Path, ...]:
        """The fonts that this text needs.

        Raises:
            DataError: there is no glyph for one of its letters.
        """
        return fonts_for(self.text, (self.font or default_font(), *self.fallback))

    @cached_property
    def identity(self) -> str:
        """Digest of text, font files, sizes, Pillow version and layout engine: all that determines the pixels."""
        fonts = [font_digest(font) for font in self.fonts]
        layout = features.check("raqm")  # Pillow sets text differently with and without it
        return digest(["typed", self.text, *fonts, self.size, self.width, PIL.__version__, layout])

    @property
    def is_cut(self) -> bool:
        """Whether a line is wider than the picture, which then cuts it off: a single word that fills a line."""
        # Told and not mended: the authors' own pictures cut such words off, too.
        return any(self._measure(line) > self.width for line in self.lines)

    @property
    def lines(self) -> list[str]:
        """The text as it is broken."""
        return _wrap(self.text, self._measure, self.width)

    def _measure(self, text: str) -> float:
        if len(self.fonts) == 1:
            return _length(text, _load(self.fonts[0], self.size))
        return Mixed(self.fonts, self.size).length(text)

    def draw(self) -> Image.Image:
        """The drawing before it is a JPEG."""
        if len(self.fonts) == 1:
            return typeset(self.text, _load(self.fonts[0], self.size), self.width)
        return Mixed(self.fonts, self.size).typeset(self.text, self.width)

    def encoded(self) -> tuple[bytes, str]:
        """The drawing as JPEG with Pillow's defaults, as the authors save it."""
        return jpeg(self.draw()), "image/jpeg"

    def load(self) -> Image.Image:
        """The drawing as it reads back from its JPEG, as every model saw the authors' files."""
        # Through JPEG, though it costs time: letters without its marks would be other pixels than a folder's.
        return decode(self.encoded()[0], f"the typed text {self.text!r}")
