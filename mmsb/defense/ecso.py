"""ECSO: answer; ask the model whether its answer is harmful; if so, answer again from a caption, without the image.

Source: Gou et al., "Eyes Closed, Safety On" (ECCV 2024, arXiv 2403.09572). The wording here is ours.
"""

from __future__ import annotations

from dataclasses import replace

from mmsb.config import settings
from mmsb.defense.base import Ask, fill, says_yes
from mmsb.types import Prompt, Response


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

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The first answer, or where the model finds it harmful one that it gives with its eyes closed."""
        answer, query = await ask(prompt, "answer"), prompt.text
        if prompt.image is None:  # nothing to close the eyes to
            return answer
        check = fill(self.check, query=query, answer=answer.text)
        if not says_yes(await ask.model(replace(prompt, text=check), "is it harmful?")):
            return answer
        caption = await ask.model(replace(prompt, text=fill(self.caption, query=query)), "caption")
        text = fill(self.retell, caption=caption.text, query=query)
        return await ask(replace(prompt, text=text, image=None), "answer without the image")
