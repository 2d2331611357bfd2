"""Guards: a check in front of the model, behind it, or on the text inside the image. Unsafe means a fixed refusal.

The check is any judge; where none is set, the model itself is asked yes or no. A guard refuses only what it
clearly reads as unsafe; a check that fails makes the sample a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from mmsb.config import settings
from mmsb.defense.talk import Staged, Talk, fill, say, says_yes, screen, settle
from mmsb.judge.base import Judge
from mmsb.model.base import Model
from mmsb.store import Store
from mmsb.types import Prompt, Response

CHECK = "is it harmful?"


@settings
class Check:
    """How a guard reads a text.

    Attributes:
        name: the name for tables.
        question: asks the model itself, yes or no, where `judge` is None; {text} stands for what is checked.
        refusal: what is answered instead of an unsafe text.
        judge: any judge, in place of the model itself. It reads the text as it would read an answer.
    """

    name: str
    question: str
    refusal: str
    judge: Judge | None = None

    def fingerprint(self) -> dict[str, object]:
        """The refusal, and the judge or the question in its place."""
        check = dict(self.judge.fingerprint()) if self.judge else self.question
        return {"guard": type(self).__name__, "check": check, "refusal": self.refusal}

    def refuse_unsafe(
        self, model: Model, store: Store, talks: Iterator[Talk], text: Callable[[Talk], str], look: bool
    ) -> Iterator[Talk]:
        """Check a text of each talk; settle the unsafe ones on the refusal. `look`: the model sees the image too."""

        def ask_itself(talk: Talk) -> Prompt:
            image = talk.prompt.image if look else None
            return replace(talk.prompt, text=fill(self.question, text=text(talk)), image=image)

        talks = screen(self.judge, store, talks, CHECK, text) if self.judge else say(model, talks, CHECK, ask_itself)
        return settle(talks, lambda talk: Response(self.refusal) if self._unsafe(talk.last.text) else None)

    def _unsafe(self, reply: str) -> bool:
        return reply == "unsafe" if self.judge else says_yes(reply)


@settings
class Guard(Check):
    """A check of the request before it is answered, or of the answer before it is shown.

    Attributes:
        where: "input" or "output".
    """

    where: Literal["input", "output"]

    def fingerprint(self) -> dict[str, object]:
        """The check, and where it stands."""
        return {**Check.fingerprint(self), "where": self.where}

    def wrap(self, model: Model, store: Store) -> Model:
        """The guarded model. The model itself sees the image when it checks a request; a judge reads its text."""

        def answer(talk: Talk) -> Prompt:
            return talk.prompt

        def stages(talks: Iterator[Talk]) -> Iterator[Talk]:
            if self.where == "input":
                talks = self.refuse_unsafe(model, store, talks, lambda talk: talk.prompt.text, look=True)
                return say(model, talks, "answer", answer)
            talks = say(model, talks, "answer", answer)
            talks = self.refuse_unsafe(model, store, talks, lambda talk: talk.text("answer"), look=False)
            return settle(talks, lambda talk: talk.calls[0].response)

        return Staged(stages)


@settings
class OcrGuard(Check):
    """The model transcribes the image; the transcript and the query are checked together; then answer or refuse.

    Attributes:
        transcribe: asks for the text in the image.
    """

    transcribe: str

    def fingerprint(self) -> dict[str, object]:
        """The check, and the question for the transcript."""
        return {**Check.fingerprint(self), "transcribe": self.transcribe}

    def wrap(self, model: Model, store: Store) -> Model:
        """The guarded model."""

        def transcript(talk: Talk) -> Prompt | None:
            return replace(talk.prompt, text=self.transcribe) if talk.prompt.image else None

        def whole(talk: Talk) -> str:
            return "\n".join(filter(None, [talk.prompt.text, talk.text("transcript")]))

        def stages(talks: Iterator[Talk]) -> Iterator[Talk]:
            talks = say(model, talks, "transcript", transcript)
            talks = self.refuse_unsafe(model, store, talks, whole, look=False)
            return say(model, talks, "answer", lambda talk: talk.prompt)

        return Staged(stages)
