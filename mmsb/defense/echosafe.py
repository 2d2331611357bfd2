"""EchoSafe: what the model noted about safety on earlier requests goes before its eyes when a similar one comes.

After Zhang et al., EchoSafe (CVPR 2026, arXiv 2603.15800), as its project page tells it (EchoSafe-MLLM.github.io at
04aedb2d; the code is not public here): notes are kept, the most similar are retrieved, and they go into the prompt.
Different here: the memory is filled from training questions before the first sample and then stays as it is. Theirs
grows with every sample, so that an answer depends on which came before it; in a benchmark that order is an accident.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import PositiveInt

from mmsb.config import settings
from mmsb.defense.adashield import Training, likeness
from mmsb.defense.base import Ask, Defense, Ready, fill
from mmsb.defense.wording import check_text
from mmsb.errors import ConfigError, ModelError
from mmsb.flow import Unanswered, gather
from mmsb.image_mode.typography import TypedText
from mmsb.judge.answers import final_answer
from mmsb.types import Prompt, Response


@settings
class EchoSafe:
    """A call for each training question, then two for each prompt with an image, else one.

    Attributes:
        name: the name for tables.
        reflect: asks the target for a note on a request; {query} stands for its text, the image is shown.
        caption: asks the target what the image shows, to find similar requests by.
        recall: the question with the notes; {notes} and {query} stand for them.
        training: the requests that are noted; none of them may be evaluated.
        retrieved: how many notes a request is given.
    """

    name: str
    reflect: str
    caption: str
    recall: str
    training: tuple[Training, ...]
    retrieved: PositiveInt = 3

    def __post_init__(self) -> None:
        """Refuse texts that would be the same for every sample.

        Raises:
            ConfigError: one is empty, or lacks a place.
        """
        check_text(self.name, "reflect", self.reflect, "query")
        check_text(self.name, "caption", self.caption)
        check_text(self.name, "recall", self.recall, "notes", "query")

    def fingerprint(self) -> dict[str, object]:
        """The texts, the training questions and how many notes are given."""
        return {
            "reflect": self.reflect,
            "caption": self.caption,
            "recall": self.recall,
            "training": [[item.query, item.phrase] for item in self.training],
            "retrieved": self.retrieved,
        }

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The key phrases of the training questions."""
        return tuple(item.phrase for item in self.training)

    async def prepare(self, ask: Ask, folder: Path) -> Defense:
        """The defense with its memory. Every call goes through the store, so a second time it is free.

        Raises:
            ConfigError: no training questions.
            ModelError: a call failed.
        """
        if not self.training:
            raise ConfigError(f"defense.{self.name}.training is empty", "Name requests to remember.")
        asked = [Prompt(fill(self.reflect, query=item.query), TypedText(item.phrase)) for item in self.training]
        try:
            # All before the first sample: grown with the samples, each answer would depend on the order of a
            # benchmark's file.
            notes = await gather(*(ask.model(prompt, "note") for prompt in asked))
        except Unanswered as error:
            raise ModelError(
                f"defense.{self.name}: the memory could not be filled: {error}", "The same command goes on from there."
            ) from error
        known = [f"{item.query}\n{item.phrase}" for item in self.training]
        return Remembering(self, tuple(known), tuple(final_answer(note.text) for note in notes))


@dataclass(frozen=True)
class Remembering(Ready):
    """The defense with its memory: notes, and the requests they are about."""

    settings: EchoSafe
    known: tuple[str, ...]
    notes: tuple[str, ...]

    @cached_property
    def likeness(self) -> Callable[[str], list[float]]:
        """How like a text is each known request."""
        return likeness(self.known)

    def nearest(self, text: str) -> list[int]:
        """The places of the requests most like a text, the most similar first; of equal ones the earlier."""
        scores = self.likeness(text)
        return sorted(range(len(scores)), key=lambda place: (-scores[place], place))[: self.settings.retrieved]

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, asked with the notes on the most similar requests."""
        seen = ""
        if prompt.image:
            seen = final_answer((await ask.model(replace(prompt, text=self.settings.caption), "caption")).text)
        notes = "\n".join(f"- {self.notes[place]}" for place in self.nearest(f"{prompt.text}\n{seen}"))
        return await ask(replace(prompt, text=fill(self.settings.recall, notes=notes, query=prompt.text)), "answer")
