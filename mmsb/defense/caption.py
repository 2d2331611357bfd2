"""Caption, then answer: the model first says what it sees, then answers with its own description before its eyes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmsb.config import settings
from mmsb.defense.talk import Staged, Talk, fill, say
from mmsb.model.base import Model
from mmsb.store import Store
from mmsb.types import Prompt


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

    def fingerprint(self) -> dict[str, object]:
        """Both texts, and whether the image is shown twice."""
        return {"caption": self.caption, "question": self.question, "keep_image": self.keep_image}

    def wrap(self, model: Model, store: Store) -> Model:
        """The model, describing before it answers."""

        def caption(talk: Talk) -> Prompt | None:
            if talk.prompt.image is None:
                return None
            return replace(talk.prompt, text=fill(self.caption, query=talk.prompt.text))

        def question(talk: Talk) -> Prompt:
            if not talk.calls:
                return talk.prompt
            text = fill(self.question, caption=talk.text("caption"), query=talk.prompt.text)
            return replace(talk.prompt, text=text, image=talk.prompt.image if self.keep_image else None)

        def stages(talks: Iterator[Talk]) -> Iterator[Talk]:
            return say(model, say(model, talks, "caption", caption), "answer", question)

        return Staged(stages)
