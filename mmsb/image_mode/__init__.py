"""Image modes: which question goes with which image (text_only, sd, typo, sd_typo)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic
from PIL import ImageFont

from mmsb.config import settings
from mmsb.dataset.base import Dataset, OwnFont
from mmsb.errors import ConfigError, DataError, MissingPicture
from mmsb.font import AUTHORS_FILE, announce, dejavu
from mmsb.image_mode.typography import TypedText
from mmsb.picture import Picture, Stacked
from mmsb.types import Prompt, Question

__all__ = ["Font", "ImageMode"]


@settings
class Font:
    """How text is typed.

    Attributes:
        path: a TrueType file; "dejavu" for DejaVu Sans, which comes with matplotlib; None for the dataset's own font
            (ARIAL.TTF in the authors' checkout), else Liberation Sans.
        fallback: fonts for the letters that the first one lacks, in this order.
        size: of the letters, in pixels.
        width: of the image, in pixels.
    """

    path: Path | None = None
    fallback: tuple[Path, ...] = ()
    size: pydantic.PositiveInt = 90
    width: pydantic.PositiveInt = 1024

    @pydantic.field_validator("path", mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        return dejavu() if str(value) == "dejavu" else value

    @pydantic.field_validator("path")
    @classmethod
    def _is_a_font(cls, value: Path | None) -> Path | None:
        # where settings are read: a run would else draw hundreds of pictures before it met the font
        return value and drawable(value, "font.path")

    @pydantic.field_validator("fallback")
    @classmethod
    def _are_fonts(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(drawable(path, "font.fallback") for path in value)

    def type(self, phrase: str, own: Path | None = None) -> TypedText:
        """The phrase as typed text; `own` is the dataset's font, where it has one.

        Raises:
            DataError: there is no glyph for one of the phrase's letters.
        """
        if self.path is None and own and own.name.upper() == AUTHORS_FILE:
            announce(own)
        typed = TypedText(phrase, self.path or own, self.size, self.width, self.fallback)
        _ = typed.fonts  # what cannot be typed shows now, before anything is asked
        return typed


def drawable(path: Path, name: str) -> Path:
    """Refuse what Pillow cannot draw with.

    Raises:
        ConfigError: no such file, or no font.
    """
    try:
        ImageFont.truetype(str(path))
    except OSError as error:
        problem = "there is no such file" if not path.is_file() else f"not a TrueType font ({error})"
        raise ConfigError(
            f"{name}={path}: {problem}", f"Give a .ttf file, or leave {name} out for Liberation Sans."
        ) from error
    return path


@settings
class ImageMode:
    """One way of asking: a wording of the question, and the image that carries the key phrase.

    Attributes:
        name: text_only, sd, typo or sd_typo.
        image: the authors' folder of images, None for no image.
        question: the wording that is asked, by its role among the question's texts.
        font: how typed text is drawn where the dataset has no file for it.
    """

    name: str
    image: Literal["SD", "TYPO", "SD_TYPO"] | None
    question: str
    font: Font = Font()

    def prompt(self, question: Question, dataset: Dataset, repeat: int = 0) -> Prompt:
        """What the model is shown for this question.

        Raises:
            DataError: the question has no such wording.
            MissingPicture: the dataset has no picture for it and it cannot be drawn.
        """
        # Empty ones too: a picture without a word beside it is answered all the same, and the answer judged.
        if not question.texts.get(self.question, "").strip():
            there = [role for role, text in question.texts.items() if text.strip()]
            raise DataError(
                f"{question.scenario}/{question.id} has no text {self.question!r}, which image_mode={self.name} asks",
                f"It has {', '.join(there) or 'none'}: image_mode.question=ROLE, or another image_mode.",
            )
        # Nothing else of the question: what a model or a defense is given is what a deployed one would see.
        return Prompt(question.texts[self.question], self.picture(question, dataset), repeat=repeat)

    def picture(self, question: Question, dataset: Dataset) -> Picture | None:
        """The dataset's file, or typed text drawn now; Stable Diffusion pictures are never invented."""
        if self.image is None:
            return None
        # What is published goes before what could be drawn: these pixels are the ones that the paper's models saw.
        if found := dataset.picture(question, self.image):
            return found
        if self.image == "TYPO":
            return self._typed(question, dataset)
        drawing = dataset.picture(question, "SD") if self.image == "SD_TYPO" else None
        if drawing is None:
            # Never drawn on the way: a picture of another generator would stand in the table as the benchmark's.
            raise MissingPicture(f"imgs/{question.scenario}/SD/{question.id}.jpg")
        # the authors' own TYPO file first: drawn anew with another Pillow, its pixels would differ
        return Stacked(drawing, dataset.picture(question, "TYPO") or self._typed(question, dataset))

    def _typed(self, question: Question, dataset: Dataset) -> TypedText:
        if not question.key_phrase.strip():  # a white picture, which asks for nothing
            raise DataError(
                f"{question.scenario}/{question.id} has no key phrase to type into a picture",
                "Correct its record, or use another image_mode.",
            )
        return self.font.type(question.key_phrase, dataset.font if isinstance(dataset, OwnFont) else None)
