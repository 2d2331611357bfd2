"""The calls of one sample while it is rehearsed, in their order, and what later prompts are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from mmsb.cost import NUMBER
from mmsb.judge.answers import final_answer
from mmsb.types import Prompt, Response, Sample

TOLD = 60  # letters of a reply that tell a prompt which is made of it
SHORT = 8  # letters below which a reply tells none: "No." stands in many
Round = tuple[int, str, int]  # a block of samples, a stage of their way, which of its rounds


class Kind(NamedTuple):
    """What a call is for: the folder of the model's answers, the stage of the sample's way, its role.

    `time`: which it is of its sample's calls for that: two defenses of one run may have checks of one name.
    `whose`: which judge asks, or which defenses: another one's replies are of other lengths. "" where none does.
    """

    model: str
    stage: str
    role: str
    time: int = 1
    whose: str = ""


class Made(NamedTuple):
    """A call.

    Attributes:
        kind: what for.
        number: a part of the prompt's key.
        known: whether the answer is stored.
        new: whether no run before makes it.
        origin: the kind of the reply that its prompt is made of, where nobody gave that yet.
        follows: whether it then may be another sample's too.
    """

    kind: Kind
    number: int
    known: bool = False
    new: bool = False
    origin: Kind | None = None
    follows: bool = False


@dataclass(frozen=True)
class Said:
    """What calls are given where nobody answered: the same, but for some kinds. None: a long answer, no yes or no."""

    lead: str | None
    but: Mapping[Kind, str | None] = field(default_factory=dict)

    def to(self, kind: Kind) -> str | None:
        """The reply to a call."""
        return self.but.get(kind, self.lead)


@dataclass(frozen=True)
class Reply:
    """A reply, and the call it came to."""

    text: str
    made: Made

    @cached_property
    def begins(self) -> str:
        """So much of it as tells a prompt that is made of it: some show the beginning alone."""
        return self.text[:TOLD].strip()

    def within(self, prompt: Prompt) -> bool:
        """Whether a prompt is made of it."""
        return len(self.begins) >= SHORT and (self.begins in prompt.text or self.begins in (prompt.reply or ""))


class Calls(list[Made]):
    """Those of a sample.

    Attributes:
        sample: its number.
        block: of samples that it belongs to: what shares a batch lies in one.
        question: that the sample asks: that of its repeats and of its other pictures too.
        said: the question as it is put, and in plain words.
        words: as it is put, and what it is about; what a judge is asked depends on both.
        own: the number of the sample's own prompt.
        rounds: of local models that it has waited for, by its stage.
        donor: the sample whose replies stand for what nobody has answered yet.
        guessed: whether a reply that checks may listen to is like none that came so far.
        told: what its calls are given, where ends are looked for.
    """

    def __init__(self, sample: int = -1, block: int = -1, question: str = "", own: int = -1) -> None:
        """None yet."""
        self.sample = sample
        self.block = block
        self.question = question
        self.said: tuple[str, ...] = ()
        self.words = ""
        self.own = own
        self.rounds: Counter[str] = Counter()
        self.donor: int | None = None
        self.guessed = False
        self.told: Said | None = None
        self._replies: list[Reply] = []

    @classmethod
    def of(cls, sample: Sample, block: int) -> Calls:
        """Of a sample, none yet."""
        own = number_of(sample.prompt)
        made = cls(own, block, f"{sample.question.scenario} {sample.question.id}", own)
        made.words = f"{sample.question.scenario} {sample.prompt.text}"
        made.said = tuple(filter(None, (sample.prompt.text, sample.question.plain)))
        return made

    def take(self, made: Made, reply: Response) -> None:
        """A call, and what came or might come."""
        self.append(made)
        self._replies.append(Reply(final_answer(reply.text).strip(), made))

    def kind(self, model: str, stage: str, role: str | None, whose: str) -> Kind:
        """Of a call that comes now; the sample's own question has no role, and is an answer."""
        wanted = Kind(model, stage, role or "answer", whose=whose)
        return wanted._replace(time=1 + sum(made.kind[:3] == wanted[:3] for made in self))

    def round(self, stage: str) -> Round:
        """The round of a call that comes now."""
        self.rounds[stage] += 1
        return self.block, stage, self.rounds[stage]

    def origin(self, prompt: Prompt) -> Made | None:
        """The call whose reply a prompt is made of, where nobody gave it yet."""
        return next((one.made for one in reversed(self._replies) if not one.made.known and one.within(prompt)), None)

    def made_of_known(self, prompt: Prompt) -> bool:
        """Whether a prompt is made of a reply that is stored."""
        return any(reply.within(prompt) for reply in self._replies)

    def may_be_anothers(self, prompt: Prompt) -> bool:
        """Whether another sample may ask the same: nothing of the question is in it."""
        if prompt.image is not None or not self.said:
            return False
        within = [reply.text for reply in self._replies if reply.within(prompt)]  # it may say the question again
        return all(prompt.text.count(said) <= sum(text.count(said) for text in within) for said in self.said)

    @property
    def steps(self) -> tuple[str, ...]:
        """The models of those that no run before makes and that wait for one another: the votes of one are one."""
        left = (made.kind for made in self if made.new)
        found = ((kind, NUMBER.sub("", kind.role)) for kind in left)
        steps = dict.fromkeys((kind[:2], role, kind.time if role == kind.role else 0) for kind, role in found)
        return tuple(model for (model, _), _, _ in steps)

    @property
    def open(self) -> bool:
        """Whether any is not answered."""
        return any(not made.known for made in self)

    @property
    def left(self) -> Counter[str]:
        """Those that are not answered, by model."""
        return Counter(made.kind.model for made in self if not made.known)

    @property
    def repeated(self) -> Counter[str]:
        """Those that a run before makes too, if the same is replied in it, by model."""
        return Counter(made.kind.model for made in self if not (made.known or made.new) and made.origin)


def number_of(prompt: Prompt) -> int:
    """A part of its key, which takes less room."""
    return int(prompt.key[:15], 16)
