"""Image modes: which question goes with which image (text_only, sd, typo, sd_typo)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic
from PIL import ImageFont

from mmsb.config import settings
from mmsb.dataset.base import Dataset
from mmsb.errors import ConfigError, DataError, MissingPicture
from mmsb.image_mode.typography import TypedText
from mmsb.picture import Picture, Stacked
from mmsb.types import Prompt, Question

__all__ = ["Font", "ImageMode"]


@settings
class Font:
    """The typed text's font: a TrueType file (None: DejaVu Sans), its size and the image's width in pixels."""

    path: Path | None = None
    size: pydantic.PositiveInt = 90
    width: pydantic.PositiveInt = 1024

    @pydantic.field_validator("path")
    @classmethod
    def _is_a_font(cls, value: Path | None) -> Path | None:
        """Refuse what Pillow cannot draw with."""
        if value is None:
            return None
        try:
            ImageFont.truetype(str(value))
        except OSError as error:
            problem = "there is no such file" if not value.is_file() else f"not a TrueType font ({error})"
            raise ConfigError(
                f"font.path={value}: {problem}", "Give a .ttf file, or leave font.path out for DejaVu Sans."
            ) from error
        return value


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
        if self.question not in question.texts:
            raise DataError(
                f"{question.scenario}/{question.id} has no text {self.question!r}, which image_mode={self.name} asks",
                f"It has {', '.join(question.texts)}: image_mode.question=ROLE, or another image_mode.",
            )
        return Prompt(question.texts[self.question], self.picture(question, dataset), repeat=repeat)

    def picture(self, question: Question, dataset: Dataset) -> Picture | None:
        """The dataset's file, or typed text drawn now; Stable Diffusion pictures are never invented."""
        if self.image is None:
            return None
        if found := dataset.picture(question, self.image):
            return found
        if self.image == "TYPO":
            return self._typed(question)
        drawing = dataset.picture(question, "SD") if self.image == "SD_TYPO" else None
        if drawing is None:
            raise MissingPicture(f"imgs/{question.scenario}/SD/{question.id}.jpg")
        return Stacked(drawing, dataset.picture(question, "TYPO") or self._typed(question))

    def _typed(self, question: Question) -> TypedText:
        return TypedText(question.key_phrase, self.font.path, self.font.size, self.font.width)
