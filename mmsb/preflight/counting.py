"""Counting the calls of one run while its flows are rehearsed: whose they are, and which are answered already."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from operator import or_

from mmsb.defense.base import Caller
from mmsb.flow import Flow
from mmsb.judge.base import Judge
from mmsb.model.base import Batched, Engine
from mmsb.pipeline import BLOCK
from mmsb.preflight.calls import Calls, Kind, Made, Round, Said, number_of
from mmsb.preflight.learned import Given
from mmsb.preflight.lines import Line
from mmsb.preflight.replies import Replies
from mmsb.preflight.supposed import Supposed
from mmsb.preflight.tokens import of_text
from mmsb.store import Store
from mmsb.types import Outcome, Prompt, Response, Sample

AT_A_TIME = 1024  # flows; none of them ever waits
A_WORD = 4  # letters of a stand-in for each token that is expected
Look = Callable[[Engine, Prompt, Calls, Kind], Response]  # the reply to a call of this kind, after these calls


@dataclass
class Tally:
    """What one model is asked by the samples of a run that were rehearsed.

    Attributes:
        stored: calls that are answered.
        left: calls that are not.
        new: those of them that no run before this one makes.
        follow: those of the new ones whose prompt is made of an answer that nobody has yet, and may be another's; by
            whether the words of the question came before.
        given: tokens in of the new ones that do not, by the rules.
        following: tokens in of those that do, likewise.
        came: tokens out of the new ones, as expected, likewise; None: of those that do not follow.
        strange: the new ones of a judge or a defense that the model has never answered.
        longest: tokens out of the new ones, were each answer as long as it may be.
        longer: tokens in, at most, of the answers that nobody gave yet and that the new ones' prompts are made of.
        batched: prompts of a local model, by round: a batch that lacks one answer is asked whole.
    """

    stored: int = 0
    left: int = 0
    new: int = 0
    follow: Counter[bool] = field(default_factory=Counter)
    given: Given = field(default_factory=Given)
    following: defaultdict[bool, Given] = field(default_factory=lambda: defaultdict(Given))
    came: defaultdict[bool | None, float] = field(default_factory=lambda: defaultdict(float))
    strange: int = 0
    longest: int = 0
    longer: int = 0
    batched: defaultdict[Round, dict[int, Prompt]] = field(default_factory=lambda: defaultdict(dict))


@dataclass(kw_only=True)
class Counting:
    """One run, by what it asks.

    Attributes:
        store: what is answered already.
        lines: by the folder of a model's answers; shared by all runs, so that what two of them ask counts once.
        replies: what was replied, by what was asked for; likewise.
        number: of the run.
        every: one of so many samples is rehearsed, and stands for the others.
        calls: that are left, by the same folders, as expected.
        sizes: harmful questions by scenario.
        steps: the models that a sample's calls wait for, one after the other; each way once.
        unsure: what could not be rehearsed.
        guessed: whether what checks will say was supposed, as no reply tells.
    """

    store: Store
    lines: dict[str, Line]
    replies: Replies
    number: int = 0
    every: int = 1
    calls: dict[str, float] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    steps: set[tuple[str, ...]] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    guessed: bool = False
    _tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    _range: dict[str, tuple[float, float]] = field(default_factory=dict)  # calls that are left: at least, at most
    _mine: dict[Flow, Calls] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)  # of samples
    _learns: bool = True

    def run(self) -> None:
        """Rehearse it."""
        raise NotImplementedError

    @property
    def judging(self) -> str:
        """What tells its judge from others."""
        raise NotImplementedError

    @property
    def defending(self) -> str:
        """What tells its defenses from others."""
        return ""

    def again(self) -> None:
        """Rehearse it once more, now that all runs are, and what their models replied is known."""

    def settle(self) -> None:
        """Add what it takes to the lines."""
        for name, tally in self._tallies.items():
            self._add(name, tally, *self._range.get(name, (tally.new, tally.new)))

    def _add(self, name: str, tally: Tally, least: float, most: float) -> None:
        """Add calls to the model's line: as expected, at least and at most."""
        line = self.lines[name]
        stored, planned = self._whole_batches(line, tally)
        more = stored + planned
        alike = sum(count * (1 - line.alike.next(again).new) for again, count in tally.follow.items())
        share = self.every * (tally.new + more) / tally.new if tally.new else 0.0
        expected = self.every * max(0.0, tally.new + more - alike)
        line.given.add(tally.given, share)
        line.came += share * tally.came[None]
        for again, given in tally.following.items():
            told = line.alike.next(again)
            line.given.add(given, share * told.new * told.longer)
            line.came += share * told.new * tally.came[again]
        if not tally.new:  # only what shares a batch with others
            line.given.add(line.learned.given, expected)
            line.came += expected * line.answer
        line.strange += self.every * tally.strange
        line.stored += self.every * (tally.stored - stored)
        line.calls += expected
        highest = max(expected, self.every * (most + more))
        line.least += min(expected, self.every * max(0.0, least + more))
        line.most += highest
        rehearsed = min(highest, self.every * (tally.new + more))
        line.longest += rehearsed * (tally.longest / tally.new if tally.new else line.limit(Prompt("")))
        line.longest += (highest - rehearsed) * line.longest_answer
        line.longer += rehearsed * (tally.longer / tally.new if tally.new else 0)
        line.longer += (highest - rehearsed) * line.longest_reply
        self.calls[name] = expected

    @staticmethod
    def _whole_batches(line: Line, tally: Tally) -> tuple[int, int]:
        """How many answers a local model gives again: those that are stored, and those of what was planned before."""
        stored = planned = 0
        for _, prompts in sorted(tally.batched.items()):
            for batch in line.engine.batches(prompts.values()) if isinstance(line.engine, Batched) else ():
                numbers = [number_of(prompt) for prompt in batch]
                there = [prompt.key in line.shelf for prompt in batch]
                before = [number in line.batched for number in numbers]
                if not all(map(or_, there, before)):
                    stored += sum(there)
                    planned += sum(one and not kept for one, kept in zip(before, there, strict=True))
                    line.batched.update(numbers)
        tally.batched.clear()
        return stored, planned

    def _caller(self, look: Look) -> Caller:
        async def call(engine: Engine, prompt: Prompt, role: str | None = None) -> Outcome:
            flow = Flow.current()
            mine = self._mine[flow]
            if not getattr(engine, "is_model", True):
                return self.replies.reading(prompt, self.store.shelf(engine).find(prompt.key))
            return look(
                engine, prompt, mine, mine.kind(self._line(engine)[0], flow.stage, role, self._whose(flow, role))
            )

        return call

    def _whose(self, flow: Flow, role: str | None) -> str:
        if flow.stage == "judge":
            return self.judging
        # What the model answers is one, whoever passes it on: it is asked once.
        return "" if role in (None, "answer") else self.defending

    def _judge(self, judge: Judge, flow: Flow) -> Judge:
        """The judge, for a flow that is rehearsed."""
        calls = self._mine[flow]
        return Supposed(judge, lambda: bool(calls) and not calls[-1].known)

    def _opened(self, flow: Flow, sample: Sample, told: Said | None = None) -> None:
        """Take down the calls of a flow from here on; they are opened in the order of their samples."""
        self._mine[flow] = calls = Calls.of(sample, next(self._numbers) // BLOCK)
        calls.told = told

    def _look(self, engine: Engine, prompt: Prompt, before: Calls, kind: Kind) -> Response:
        """The stored reply, else one like those that came so far, else a stand-in; counted."""
        origin = before.origin(prompt)
        made, line = self._counted_call(engine, prompt, before, kind, origin), self.lines[kind.model]
        if made.known:
            reply = line.shelf.get(prompt.key)
            self.replies.add(self.number, kind, before.sample, made.number, reply)
            before.take(made, reply)
            return reply
        # Not before all runs are read: few replies would stand for all.
        drawn = None if self._learns else self.replies.draw(self.number, kind, made.number, before)
        before.guessed = before.guessed or (drawn is None and kind.stage != "judge")
        reply = drawn or stand_in(line, prompt)
        if made.new:
            tally = self._tallies[kind.model]
            again = self._again(line, before) if made.follows else None
            tally.came[again] += line.answer if reply.output_tokens is None else reply.output_tokens
            tally.strange += drawn is None and bool(kind.whose)
        before.take(made, reply)
        return reply

    def _tried(self, engine: Engine, prompt: Prompt, before: Calls, kind: Kind) -> Response:
        """The stored reply, else what is tried; not counted."""
        line, origin = self.lines[kind.model], before.origin(prompt)
        known = origin is None and prompt.key in line.shelf
        follows = origin is not None and before.may_be_anothers(prompt)
        lead = before.told.to(kind) if before.told else None
        line.may_be(prompt, self._longest(origin))
        reply = line.shelf.get(prompt.key) if known else stand_in(line, prompt) if lead is None else Response(lead)
        before.take(Made(kind, number_of(prompt), known, origin=origin and origin.kind, follows=follows), reply)
        return reply

    def _counted_call(self, engine: Engine, prompt: Prompt, before: Calls, kind: Kind, origin: Made | None) -> Made:
        """Count a call that comes after others of its sample: whose it is, and whether it is answered."""
        line = self.lines[kind.model]
        tally, number = self._tallies[kind.model], number_of(prompt)
        # Of a part of the samples nobody knows who shares a batch.
        if line.shelf.batched and self.every == 1:
            tally.batched[before.round(kind.stage)][number] = prompt
        # What is made of a reply that nobody gave yet is not stored, even if another's is the same to the letter.
        if origin is None and prompt.key in line.shelf:
            tally.stored += 1
            if self._learns:
                self._learn(line, prompt, before, number)
            return Made(kind, number, known=True)
        if origin:  # with the model: two that are asked the same do not answer the same
            number = hash((number, origin.kind.model, origin.number))
        tally.left += 1
        new, follows = number not in line.asked, origin is not None and before.may_be_anothers(prompt)
        if new:
            line.asked.add(number)
            tally.new += 1
            again = self._again(line, before)
            tally.follow[again] += follows
            (tally.following[again] if follows else tally.given).add(line.guess(prompt))
            tally.longest += line.limit(prompt)
            tally.longer += self._longest(origin)
        return Made(kind, number, new=new, origin=origin and origin.kind, follows=follows)

    def _again(self, line: Line, before: Calls) -> bool:
        """Whether the question's words came before: as soon as all that is stored was read, which goes first."""
        return not self._learns and line.alike.came_before(before.words, before.question)

    def _longest(self, origin: Made | None) -> int:
        """Tokens that the reply may have, in a later prompt, which nobody gave yet."""
        return self.lines[origin.kind.model].limit(Prompt("")) if origin else 0

    @staticmethod
    def _learn(line: Line, prompt: Prompt, before: Calls, number: int) -> None:
        if before.made_of_known(prompt) and before.may_be_anothers(prompt):
            about = before.words, before.question
            line.alike.add(number, {made.number for made in before}, *about, of_text(prompt))
        if line.learned.few and number not in line.known:
            line.known.add(number)
            line.learned.prompt(prompt, line.shelf.get(prompt.key), line.guess(prompt))

    def _line(self, engine: Engine) -> tuple[str, Line]:
        shelf = self.store.shelf(engine)
        name = shelf.folder.name
        if name not in self.lines:
            self.lines[name] = Line(engine, shelf)
        return name, self.lines[name]


def stand_in(line: Line, prompt: Prompt) -> Response:
    """An answer that nobody gave: of the expected length, and no other prompt's."""
    words = max(1, round(line.answer) - len(prompt.key) // A_WORD)
    return Response(f"{prompt.key} {'and ' * words}")
