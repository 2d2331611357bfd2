"""What a defense is: a flow between a request and a model. Nothing else knows that there is a defense.

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        answer = await ask(prompt, "answer")
        if says_yes(await ask.model(self.check(prompt, answer), "check")):
            return Response(self.refusal)
        return answer

It sees prompts and responses, and never the benchmark's question: what a deployed system could see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from mmsb.flow import Flow, Unanswered, answered
from mmsb.judge.answers import Reading
from mmsb.judge.asking import spoken
from mmsb.judge.base import Judge, refuses_with_no, screened
from mmsb.judge.reader import reading_of
from mmsb.model.base import Engine
from mmsb.own import refuse_given
from mmsb.types import Failure, Label, Outcome, Prompt, Response, Step

PLACE = re.compile(r"\{(\w+)\}")
Then = Literal["pass", "block", "fail"]  # what follows from a check whose reply cannot be read
UNREADABLE = "unreadable check"  # the role of the step that notes one
# Models like to begin with "The answer is"; what merely holds a yes somewhere is none.
YES = re.compile(r"\W*(?:(?:the )?answer(?: is)?\W+)?yes\b(?!\s*(?:\?|(?:or|/|and)\s*no\b))", re.IGNORECASE)
NO = re.compile(
    r"\W*(?:(?:the )?answer(?: is)?\W+)?no\b(?!\s*(?:\?|(?:or|/|and)\s*yes\b|(?:doubt|problem|question)\b))",
    re.IGNORECASE,
)


@runtime_checkable
class Defense(Protocol):
    """Settings of a defense."""

    @property
    def name(self) -> str:
        """The name for tables."""
        ...

    def fingerprint(self) -> Mapping[str, object]:
        """Everything that determines what the defense does, as JSON values."""
        ...

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """Answer a prompt, asking the model behind it, or refuse.

        A call that fails or is kept back by a content filter ends the flow: neither is ever taken for an answer.
        """
        ...


@runtime_checkable
class Prepared(Protocol):
    """A defense that asks before the first sample comes: what it learns is the same for all."""

    @property
    def name(self) -> str:
        """The name for tables."""
        ...

    def fingerprint(self) -> Mapping[str, object]:
        """Everything that determines what the defense does, as JSON values."""
        ...

    async def prepare(self, ask: Ask, folder: Path) -> Defense:
        """The defense, ready to answer; `folder` keeps what it made."""
        ...

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Key phrases of the questions it was made with; a run that would evaluate one of them is refused."""
        ...


@dataclass(frozen=True)
class Ready:
    """What `Prepared.prepare` gives: it goes by the name and the fingerprint of its settings."""

    settings: Prepared

    @property
    def name(self) -> str:
        """The name for tables."""
        return self.settings.name

    def fingerprint(self) -> Mapping[str, object]:
        """What determines the defense: what it learned follows from its settings."""
        return self.settings.fingerprint()


class Caller(Protocol):
    """Makes a call in the name of the running flow: `Driver.call`."""

    async def __call__(self, engine: Engine, prompt: Prompt, role: str | None = None) -> Outcome:
        """Ask an engine."""
        ...


Notes = list["Step | Notes"]  # in the order of asking, whatever came back first


@dataclass(frozen=True, slots=True)
class Ask:
    """What a defense asks with. Who is asked is always explicit.

    Attributes:
        target: the model under evaluation.
        inner: the defenses between this one and the model.
        call: makes the calls.
        notes: gets a step for each call that has a role.
        sent: what reached the model by this, in the order of asking; a defense's own refusal is told beside the first.
    """

    target: Engine
    inner: Sequence[Defense]
    call: Caller
    notes: Notes = field(default_factory=list)
    sent: list[Prompt] = field(default_factory=list)

    async def __call__(self, prompt: Prompt, role: str | None = None) -> Response:
        """Ask the next defense inwards, or the model behind the last one.

        Args:
            prompt: what it is asked.
            role: what for, noted as a step on the way; None where it is just the prompt passed on.

        Raises:
            Unanswered: no answer came.
        """
        number = len(self.sent)
        self.sent.append(prompt)
        if not self.inner:
            return await self._noted(self.target, prompt, role)
        # A list inside the list keeps its place while the inner defense fills it, whoever is done first.
        notes: Notes = []
        self.notes.append(notes)
        inner, *rest = self.inner
        further = replace(self, inner=rest, notes=notes, sent=[])
        work = inner.answer(prompt, further)
        try:
            # As a task of its own: each further defense would else stand on the stack of the one before.
            [response] = await Flow.current().beside([work])
        except Unanswered as error:
            raise _at(role, error) from error
        refuse_given(response, Response, inner, "answer")
        self.sent[number] = sent = response.sent or (further.sent or [prompt])[0]
        if role:
            notes.append(Step(role, sent.text, response.text))
        return replace(response, sent=sent)

    async def model(self, prompt: Prompt, role: str) -> Response:
        """Ask the bare model, past the other defenses: for checks, captions and the like.

        Raises:
            Unanswered: no answer came.
        """
        return await self._noted(self.target, prompt, role)

    async def helper(self, engine: Engine, prompt: Prompt, role: str) -> Response:
        """Ask a model of the defense's own.

        Raises:
            Unanswered: no answer came.
        """
        return await self._noted(engine, prompt, role)

    async def screen(self, judge: Judge, prompt: Prompt, reply: str | None, role: str) -> Label:
        """Let a judge check a request (`reply` None) or an answer; its label.

        Raises:
            Unanswered: the judge's model failed.
        """
        notes: Notes = []
        self.notes.append(notes)
        verdict = await screened(judge, prompt, reply, lambda engine, asked: self.call(engine, asked, role))
        # A guard that could not be asked has let nothing pass: the sample failed, and counts in no rate.
        if verdict.label == "failed":
            said = verdict.details.get("judge_message") or verdict.raw or f"the judge {judge.name} failed"
            raise Unanswered(Failure("guard", f"{role}: {said}"))
        notes.append(Step(role, prompt.text if reply is None else reply, verdict.label))
        return verdict.label

    async def reading(self, reply: Response) -> Reading:
        """What kind of answer a reply is, by the offline rules: remembered like an answer, and no call of a model."""
        # Without the question, which no deployment knows; and not here, where all other flows would wait for it.
        return await reading_of(reply, None, self.call)

    def unreadable(self, asked: str, said: str, then: Then = "pass") -> bool:
        """Note that the reply to a check could not be read; the summary counts these.

        Returns:
            Whether what was checked is refused.

        Raises:
            Unanswered: it makes the sample a failure.
        """
        self.notes.append(Step(UNREADABLE, asked, said))
        if then == "fail":
            raise Unanswered(Failure("guard", f"the reply to a check cannot be read: {said[:200]!r}"))
        return then == "block"

    async def _noted(self, engine: Engine, prompt: Prompt, role: str | None) -> Response:
        notes: Notes = []
        self.notes.append(notes)
        outcome = await self.call(engine, prompt, role)
        if role and isinstance(outcome, Response):
            notes.append(Step(role, prompt.text, outcome.text))
        try:
            # What was really sent goes along: rows and traces show the defended wording, not the benchmark's.
            return replace(answered(outcome), sent=prompt)
        except Unanswered as error:
            raise _at(role, error) from None


def _at(role: str | None, error: Unanswered) -> Unanswered:
    """A failure says on the way to what it was met."""
    failure = error.outcome
    # A content filter's refusal is an outcome and no failure: it has nothing to be met at.
    if role is None or not isinstance(failure, Failure):
        return error
    return Unanswered(Failure(failure.cause, f"{role}: {failure.message}"))


async def defended(prompt: Prompt, target: Engine, defenses: Sequence[Defense], call: Caller) -> Outcome:
    """The answer of `target` behind all `defenses`; the first one named sees the request first.

    Its cost is that of all calls that the flow has made.
    """
    if not defenses:  # what follows is this for one call, with all that defenses may do on the way
        outcome = await call(target, prompt)
        if isinstance(outcome, Failure):
            return outcome
        return replace(outcome, sent=None if outcome.finish == "content_filter" else prompt, calls=1, steps=())
    ask = Ask(target, defenses, call)
    try:
        outcome = await ask(prompt)
    except Unanswered as error:
        outcome = error.outcome
    if isinstance(outcome, Failure):
        return outcome
    # Of all calls, also those that a defense made and threw away: they are its price.
    replies = [call.outcome for call in Flow.current().calls if call.counted]
    known = [reply for reply in replies if isinstance(reply, Response)]
    return replace(
        outcome,
        input_tokens=_sum(reply.input_tokens for reply in known),
        output_tokens=_sum(reply.output_tokens for reply in known),
        seconds=sum(reply.seconds for reply in known),
        calls=len(known),
        steps=tuple(_flat(ask.notes)),
    )


def _sum(counts: Iterator[int | None]) -> int | None:
    # None only where nobody counted: endpoints without a usage must not make the others' tokens unknown.
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _flat(notes: Notes) -> Iterator[Step]:
    for note in notes:
        if isinstance(note, Step):
            yield note
        else:
            yield from _flat(note)


def says_yes(reply: Response) -> bool:
    """Whether a reply begins with a yes. Anything else is no yes: a check acts on clear words only."""
    # Without its thoughts, which often begin with the other word.
    return bool(YES.match(spoken(reply)))


def heard_yes(reply: Response, asked: str, ask: Ask) -> bool:
    """Whether the reply to a check begins with a yes. One that says neither yes nor no passes, and is counted."""
    if not (says_yes(reply) or says_no(reply)):
        ask.unreadable(asked, reply.text)
    return says_yes(reply)


def says_no(reply: Response) -> bool:
    """Whether a reply begins with a no. That of "No, I can't help with that." denies nothing."""
    said = spoken(reply)
    return bool(NO.match(said)) and not refuses_with_no(said)


def fill(template: str, **texts: str) -> str:
    """The template with `{name}` replaced, in one pass: braces inside the texts stay what they are."""
    return PLACE.sub(lambda match: texts.get(match[1], match[0]), template)
