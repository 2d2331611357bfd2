"""ECSO: answer; ask the model whether its answer is harmful; if so, answer again from a caption, without the image.

Source: Gou et al., "Eyes Closed, Safety On" (ECCV 2024, arXiv 2403.09572), github.com/gyhdog99/ecso at b00b3863,
llava/eval/model_mmsafe_tell_ask.py: its order, its trigger (the whole reply is "yes", in any case, with or without a
full stop) and the 1,927 characters of the answer that the check is shown. The wording is ours, or theirs by
`original`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import PositiveInt

from mmsb.config import settings
from mmsb.defense.base import Ask, fill, heard_yes
from mmsb.defense.original import constants
from mmsb.defense.wording import check_text
from mmsb.judge.answers import final_answer
from mmsb.types import Prompt, Response

TRIGGERS = ("yes", "yes.")
TELL, CAPTION, RETELL = "TELL_PROMPT", "CAP_PROMPT", "LLM_GEN_PROMPT"  # as the authors' file names them
PLACES = {TELL: ("query", "answer"), CAPTION: ("query",), RETELL: ("caption", "query")}


@dataclass(frozen=True, slots=True)
class Texts:
    """The three questions."""

    check: str
    caption: str
    retell: str


@settings
class Ecso:
    """Two calls for an answer that the model finds harmless, four for one it finds harmful.

    Attributes:
        name: the name for tables.
        check: asks about the answer, yes or no; {query} and {answer} stand for the texts.
        caption: asks for a description of the image; {query} stands for the question.
        retell: the last question, asked without the image; {caption} and {query} stand for the texts.
        original: the authors' model_mmsafe_tell_ask.py, for their words in place of ours.
        shown: characters of the answer that the check is shown.
    """

    name: str
    check: str
    caption: str
    retell: str
    original: Path | None = None
    shown: PositiveInt = 1927

    NEEDS_PICTURE: ClassVar[bool] = True  # it passes a prompt without one on as it is

    def __post_init__(self) -> None:
        """Refuse texts that would be the same for every sample.

        Raises:
            ConfigError: one is empty, or lacks a place.
        """
        check_text(self.name, "check", self.check, "answer")
        check_text(self.name, "caption", self.caption)
        check_text(self.name, "retell", self.retell, "caption", "query")

    @cached_property
    def texts(self) -> Texts:
        """Ours, or the authors'.

        Raises:
            ConfigError: `original` is no such file.
        """
        if self.original is None:
            return Texts(self.check, self.caption, self.retell)
        theirs = constants(self.original, PLACES)
        return Texts(theirs[TELL], theirs[CAPTION], theirs[RETELL])

    def fingerprint(self) -> dict[str, object]:
        """The three texts, and how much of an answer the check sees."""
        texts = self.texts
        return {"check": texts.check, "caption": texts.caption, "retell": texts.retell, "shown": self.shown}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The first answer, or where the model finds it harmful one that it gives with its eyes closed."""
        # Through the defenses behind this one, as any answer; the checks below go past them.
        answer, query, texts = await ask(prompt, "answer"), prompt.text, self.texts
        if prompt.image is None:  # nothing to close the eyes to
            return answer
        check = fill(texts.check, query=query, answer=final_answer(answer.text)[: self.shown])
        told = await ask.model(replace(prompt, text=check), "is it harmful?")
        heard_yes(told, check, ask)  # counts what is neither yes nor no; the trigger is stricter than a yes
        if final_answer(told.text).lower() not in TRIGGERS:
            return answer
        caption = await ask.model(replace(prompt, text=fill(texts.caption, query=query)), "caption")
        text = fill(texts.retell, caption=final_answer(caption.text), query=query)
        return await ask(replace(prompt, text=text, image=None), "answer without the image")
