"""Guards: a check in front of the model, behind it, or on the text inside the image. Unsafe means a fixed refusal.

The check is any judge; where none is set, the model itself is asked yes or no. A guard refuses what it clearly reads as
unsafe; a check that fails makes the sample a failure. A reply that cannot be read is counted, and `unreadable` says
what happens then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from mmsb.config import settings
from mmsb.defense.base import Ask, Then, fill, says_no, says_yes
from mmsb.defense.wording import check_text
from mmsb.errors import ConfigError
from mmsb.judge.answers import final_answer
from mmsb.judge.base import Judge, without
from mmsb.types import Prompt, Response

CHECK = "is it harmful?"


@settings
class Check:
    """How a guard reads a text.

    Attributes:
        name: the name for tables.
        question: asks the model itself, yes or no, where `judge` is None; {text} stands for what is checked.
        refusal: what is answered instead of an unsafe text.
        judge: any judge, in place of the model itself. Guard models classify the user's turn with its picture, or the
            exchange; judges that read answers read the text as if it were one.
        unreadable: what a check without a readable reply leads to: "pass" as published methods do, "block", or "fail",
            which makes the sample a failure.
    """

    name: str
    question: str
    refusal: str
    judge: Judge | None = None
    unreadable: Then = "pass"

    def __post_init__(self) -> None:
        """Refuse a check of nothing.

        Raises:
            ConfigError: a question without the text, an empty refusal, or a judge that grades.
        """
        if getattr(self.judge, "GRADES", False):
            raise ConfigError(
                f"defense.{self.name}: its judge grades answers to test questions, and finds no harm",
                "Name another judge.",
            )
        # A question without its text is answered all the same, with one and the same word for every sample.
        if self.judge is None:
            check_text(self.name, "question", self.question, "text")
        check_text(self.name, "refusal", self.refusal)

    def fingerprint(self) -> dict[str, object]:
        """The refusal, and the judge or the question in its place."""
        check = dict(self.judge.fingerprint()) if self.judge else self.question
        return {
            "guard": type(self).__name__,
            "check": check,
            "refusal": self.refusal,
            "unreadable": self.unreadable,
        }

    async def finds_unsafe(self, prompt: Prompt, reply: str | None, ask: Ask) -> bool:
        """Whether a request is unsafe, or an answer to it. The model itself sees a request's picture, a judge too."""
        text = prompt.text if reply is None else final_answer(reply)
        if self.judge:
            # The judge is given what the user sent, never the benchmark's question: no deployed guard knows that.
            label: str = await ask.screen(self.judge, prompt, reply, CHECK)
            return label == "unsafe" or (label != "safe" and ask.unreadable(text, label, self.unreadable))
        # An answer is checked as it will be read: without the picture that led to it.
        image = prompt.image if reply is None else None
        said = await ask.model(replace(prompt, text=fill(self.question, text=text), image=image), CHECK)
        return says_yes(said) or (not says_no(said) and ask.unreadable(text, said.text, self.unreadable))


@settings
class Guard(Check):
    """A check of the request before it is answered, or of the answer before it is shown.

    Attributes:
        where: "input" or "output".
    """

    where: Literal["input", "output"]

    def __post_init__(self) -> None:
        """Refuse also a judge that cannot check what it is given.

        Raises:
            ConfigError: a classifier of answers in front of the model, or one of pictures behind it.
        """
        Check.__post_init__(self)
        # A classifier of answers reads any request as one that does not refuse, and would let all of them pass.
        if self.where == "input" and (judge := without(self.judge, "READS_REQUESTS")):
            raise ConfigError(
                f"defense.{self.name}: judge={judge} reads answers, not requests",
                "Put it behind the model: output_guard.",
            )
        if self.where == "output" and (judge := without(self.judge, "READS_ANSWERS")):
            raise ConfigError(
                f"defense.{self.name}: judge={judge} looks at pictures, not at answers",
                "Put it in front of the model: input_guard.",
            )

    def fingerprint(self) -> dict[str, object]:
        """The check, and where it stands."""
        return {**Check.fingerprint(self), "where": self.where}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, or the refusal."""
        if self.where == "input":
            unsafe = await self.finds_unsafe(prompt, None, ask)
            return Response(self.refusal) if unsafe else await ask(prompt, "answer")
        answer = await ask(prompt, "answer")
        return Response(self.refusal) if await self.finds_unsafe(prompt, answer.text, ask) else answer


@settings
class OcrGuard(Check):
    """The model transcribes the image; the transcript and the query are checked together; then answer or refuse.

    Attributes:
        transcribe: asks for the text in the image.
    """

    transcribe: str

    def __post_init__(self) -> None:
        """Refuse also to ask for no transcript.

        Raises:
            ConfigError: a question without the text, an empty text, or a judge that reads no requests.
        """
        Check.__post_init__(self)
        if judge := without(self.judge, "READS_REQUESTS") or without(self.judge, "READS_ANSWERS"):
            raise ConfigError(
                f"defense.{self.name}: judge={judge} does not read the text of a request",
                "Name a judge that does, such as llama_guard_3.",
            )
        check_text(self.name, "transcribe", self.transcribe)

    def fingerprint(self) -> dict[str, object]:
        """The check, and the question for the transcript."""
        return {**Check.fingerprint(self), "transcribe": self.transcribe}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, or the refusal."""
        whole = [prompt.text]
        if prompt.image:
            whole.append(final_answer((await ask.model(replace(prompt, text=self.transcribe), "transcript")).text))
        # Query and transcript as one text: typed words are harmless beside a query that is harmless, and together they
        # are not.
        read_out = replace(prompt, text="\n".join(filter(None, whole)), image=None)
        unsafe = await self.finds_unsafe(read_out, None, ask)
        return Response(self.refusal) if unsafe else await ask(prompt, "answer")
