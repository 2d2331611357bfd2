"""Caption, then answer: the model first says what it sees, then answers with its own description before its eyes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from mmsb.config import settings
from mmsb.defense.base import Ask, fill
from mmsb.defense.wording import check_text
from mmsb.judge.answers import final_answer
from mmsb.types import Prompt, Response


@settings
class CaptionThenAnswer:
    """Two calls for each prompt with an image.

    Attributes:
        name: the name for tables.
        caption: asks for the description, {query} stands for the question.
        question: the question itself; {caption} and {query} stand for the texts.
        keep_image: whether the image is shown again with the question.
    """

    name: str
    caption: str
    question: str
    keep_image: bool = True

    NEEDS_PICTURE: ClassVar[bool] = True  # it passes a prompt without one on as it is

    def __post_init__(self) -> None:
        """Refuse texts that would be the same for every sample.

        Raises:
            ConfigError: one is empty, or lacks a place.
        """
        check_text(self.name, "caption", self.caption)
        check_text(self.name, "question", self.question, "caption", "query")

    def fingerprint(self) -> dict[str, object]:
        """Both texts, and whether the image is shown twice."""
        return {"caption": self.caption, "question": self.question, "keep_image": self.keep_image}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, its own description before its eyes."""
        if prompt.image is None:  # a description of nothing would be the model's invention
            return await ask(prompt, "answer")
        asked = fill(self.caption, query=prompt.text)
        # The bare model: a guard behind this defense would refuse the caption and be counted as refusing the question.
        caption = await ask.model(replace(prompt, text=asked), "caption")
        text = fill(self.question, caption=final_answer(caption.text), query=prompt.text)
        return await ask(replace(prompt, text=text, image=prompt.image if self.keep_image else None), "answer")
