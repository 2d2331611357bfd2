"""ECSO: answer; ask the model whether its answer is harmful; if so, answer again from a caption, without the image.

Source: Gou et al., "Eyes Closed, Safety On" (ECCV 2024, arXiv 2403.09572). The wording here is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mmsb.config import settings
from mmsb.defense.talk import Staged, Talk, fill, say, says_yes, settle
from mmsb.model.base import Model
from mmsb.store import Store
from mmsb.types import Prompt


@settings
class Ecso:
    """Two calls for an answer that the model finds harmless, four for one it finds harmful.

    Attributes:
        name: the name for tables.
        check: asks about the answer, yes or no; {query} and {answer} stand for the texts. Only a clear yes counts.
        caption: asks for a description of the image; {query} stands for the question.
        retell: the last question, asked without the image; {caption} and {query} stand for the texts.
    """

    name: str
    check: str
    caption: str
    retell: str

    def fingerprint(self) -> dict[str, object]:
        """The three texts."""
        return {"check": self.check, "caption": self.caption, "retell": self.retell}

    def wrap(self, model: Model, store: Store) -> Model:
        """The model, looking again with its eyes closed where its first answer was harmful."""

        def check(talk: Talk) -> Prompt | None:
            if talk.prompt.image is None:  # nothing to close the eyes to
                return None
            query = talk.prompt.text
            return replace(talk.prompt, text=fill(self.check, query=query, answer=talk.text("answer")))

        def caption(talk: Talk) -> Prompt:
            return replace(talk.prompt, text=fill(self.caption, query=talk.prompt.text))

        def retell(talk: Talk) -> Prompt:
            text = fill(self.retell, caption=talk.text("caption"), query=talk.prompt.text)
            return replace(talk.prompt, text=text, image=None)

        def stages(talks: Iterator[Talk]) -> Iterator[Talk]:
            talks = say(model, talks, "answer", lambda talk: talk.prompt)
            talks = say(model, talks, "is it harmful?", check)
            talks = settle(
                talks, lambda talk: None if says_yes(talk.text("is it harmful?")) else talk.calls[0].response
            )
            talks = say(model, talks, "caption", caption)
            return say(model, talks, "answer without the image", retell)

        return Staged(stages)
