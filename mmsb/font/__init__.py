"""Fonts: which file types a phrase, and which letters it has.

    font.path, else the dataset's own (ARIAL.TTF in the authors' checkout), else Liberation Sans

Liberation Sans (release 2.1.5, SIL Open Font License, see LICENSE beside it) has the widths of Arial, with which the
benchmark's authors typed: it breaks all 1,680 key phrases at the same words.
"""

from __future__ import annotations

import importlib.util
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import features

from mmsb.digest import digest_file
from mmsb.errors import ConfigError, DataError, MissingGlyphs

LIBERATION = Path(__file__).with_name("LiberationSans-Regular.ttf")
AUTHORS_FILE = "ARIAL.TTF"  # in the authors' repository
# By content: other systems ship an Arial of another version, with other pixels.
AUTHORS_DIGEST = "baa251526d6862712a58e613ef451d8a"
INVISIBLE = ("Cc", "Cf", "Zl", "Zp")  # what has no glyph of its own: line ends, joiners, marks of direction


def default_font() -> Path:
    """Liberation Sans, which comes with the package."""
    return LIBERATION


@cache
def dejavu() -> Path:
    """DejaVu Sans, a free font that comes with matplotlib; found without importing matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "DejaVu Sans comes with matplotlib, which is not installed", "Install it, or leave font.path out."
        )
    return Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"


@cache
def font_digest(path: Path) -> str:
    """Digest of a font file."""
    return digest_file(path)


def is_the_authors(path: Path) -> bool:
    """Whether a font is the file that the benchmark's authors typed with."""
    return font_digest(path) == AUTHORS_DIGEST


def find_arial(*folders: Path) -> Path | None:
    """ARIAL.TTF, however its letters are written, in the first of the folders that has it."""
    for folder in folders:
        for path in sorted(folder.glob("*.[tT][tT][fF]")):
            if path.name.upper() == AUTHORS_FILE:
                return path
    return None


@cache
def announce(path: Path) -> None:
    """Say once that a dataset's own font is used."""
    whose = "the authors' font" if is_the_authors(path) else "not the authors' file, by its digest"
    print(f"text is typed with {path} ({whose})", file=sys.stderr)


@cache
def letters(path: Path) -> frozenset[int]:
    """The code points that a font has glyphs for."""
    from fontTools.ttLib import TTFont

    # Pillow draws an empty box for a letter that a font lacks and says nothing, so the font's own table is asked.
    with TTFont(str(path), fontNumber=0, lazy=True) as font:
        return frozenset(font.getBestCmap() or ())


def lacks(path: Path, text: str) -> list[str]:
    """The letters of a text that a font has no glyph for, once each."""
    known = letters(path)
    return [
        letter
        for letter in dict.fromkeys(text)
        if ord(letter) not in known and unicodedata.category(letter) not in INVISIBLE
    ]


def fonts_for(text: str, fonts: Sequence[Path]) -> tuple[Path, ...]:
    """The first of the fonts that have all of a text's letters between them.

    Raises:
        MissingGlyphs: they lack some, which would be drawn as empty boxes.
        DataError: Pillow cannot join the letters, or no font has all of a text that is read from the right.
    """
    left = text
    for count, font in enumerate(fonts, 1):
        # Asked only for what the fonts before it lack: a letter is drawn by the first that has it.
        left = "".join(lacks(font, left))
        if not left:
            _check_shaping(text)
            return tuple(fonts[:count]) if count == 1 or not _from_the_right(text) else (_whole(text, fonts),)
    raise MissingGlyphs(
        f"{' and '.join(font.name for font in fonts)} cannot type {text!r}: no glyph for {spelled(left)}",
        "Name fonts that have them: font.fallback=[/path/NotoSansCJK-Regular.ttc], or another font.path.",
        left,
    )


def spelled(letters: str) -> str:
    """Letters for people, the first five: "語 (U+8A9E), ..."."""
    shown = [f"{letter} (U+{ord(letter):04X})" for letter in letters[:5]]
    return ", ".join([*shown, *(["..."] if len(letters) > 5 else [])])


def _from_the_right(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)


def _whole(text: str, fonts: Sequence[Path]) -> Path:
    """The first font that has all of a text that is read from the right."""
    # One layout of the whole line: pieces in several fonts, its blanks' among them, would stand in the wrong order.
    for font in fonts:
        if not lacks(font, text):
            return font
    raise DataError(
        f"{text!r} is read from the right, and none of {', '.join(font.name for font in fonts)} has all of its signs",
        "Name one font that has them, blanks and digits too: font.path=/path/DejaVuSans.ttf.",
    )


def _check_shaping(text: str) -> None:
    """Letters that join or are reordered come out wrong without Raqm, each by itself in its place."""
    joined = _from_the_right(text) or any(unicodedata.category(letter) == "Mc" for letter in text)
    if joined and not features.check("raqm"):
        raise DataError(f"{text!r} needs Pillow with Raqm, to join its letters", "Install Raqm and FriBiDi.")
