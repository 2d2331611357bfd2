"""Counting the calls of one run while its flows are rehearsed: whose they are, and which are answered already."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from operator import or_
from typing import NamedTuple

from mmsb.defense.base import Caller
from mmsb.flow import Flow
from mmsb.judge.base import Judge
from mmsb.judge.thinking import parts
from mmsb.model.base import Batched, Engine
from mmsb.pipeline import BLOCK
from mmsb.preflight.lines import Given, Line
from mmsb.preflight.supposed import Supposed
from mmsb.preflight.tokens import of_text
from mmsb.store import Store
from mmsb.types import Outcome, Prompt, Response, Sample

AT_A_TIME = 1024  # flows; none of them ever waits
A_WORD = 4  # letters of a stand-in for each token that is expected
Round = tuple[int, str, int]  # a block of samples, a stage of their way, which of its rounds
READING = Response('["compliance",[],{}]')  # of a stand-in; a reading by rules is no call
DIVIDED = Response('["compliance",["stray_thinking"],{}]')


class Made(NamedTuple):
    """A call: who is asked, whether the answer is stored, and a part of the prompt's key."""

    name: str
    known: bool
    number: int


class Calls(list[Made]):
    """Those of a sample.

    Attributes:
        block: of samples that it belongs to: what shares a batch lies in one.
        question: that the sample asks.
        own: the number of the sample's own prompt, which is made of no answer, whatever was asked before it.
        rounds: of local models that it has waited for, by its stage.
    """

    def __init__(self, block: int = -1, question: str = "", own: int = -1) -> None:
        """None yet."""
        self.block = block
        self.question = question
        self.own = own
        self.rounds: Counter[str] = Counter()

    def round(self, stage: str) -> Round:
        """The round of a call that comes now."""
        self.rounds[stage] += 1
        return self.block, stage, self.rounds[stage]


Look = Callable[[Engine, Prompt, Calls, str], tuple[Response, Made]]  # in this stage, after these calls


@dataclass
class Tally:
    """What one model is asked by the samples of a run that were rehearsed.

    Attributes:
        stored: calls that are answered.
        left: calls that are not.
        new: those of them that no run before this one makes.
        follow: those of the new ones whose prompt is made of an answer that nobody has yet.
        given: tokens in of the new ones that do not, by the rules.
        following: tokens in of those that do.
        longest: tokens out of the new ones, were each answer as long as it may be.
        batched: prompts of a local model, by round: a batch that lacks one answer is asked whole.
    """

    stored: int = 0
    left: int = 0
    new: int = 0
    follow: int = 0
    given: Given = field(default_factory=Given)
    following: Given = field(default_factory=Given)
    longest: int = 0
    batched: defaultdict[Round, dict[int, Prompt]] = field(default_factory=lambda: defaultdict(dict))


@dataclass(kw_only=True)
class Counting:
    """One run, by what it asks.

    Attributes:
        store: what is answered already.
        lines: by the folder of a model's answers; shared by all runs, so that what two of them ask counts once.
        every: one of so many samples is rehearsed, and stands for the others.
        calls: that are left, by the same folders, as expected.
        sizes: harmful questions by scenario.
        unsure: what could not be rehearsed.
    """

    store: Store
    lines: dict[str, Line]
    every: int = 1
    calls: dict[str, float] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    unsure: set[str] = field(default_factory=set)
    _tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)  # calls, as expected and at most
    _mine: dict[Flow, Calls] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)  # of samples

    def run(self) -> None:
        """Rehearse it."""
        raise NotImplementedError

    def settle(self) -> None:
        """Add what it takes to the lines, once all runs are rehearsed: what is stored of any tells of all."""
        for name, (expected, most) in self._left.items():
            self._add(name, self._tallies[name], expected, most)

    def _add(self, name: str, tally: Tally, expected: float, most: float) -> None:
        """Add calls to the model's line: as expected, and at most."""
        line, again = self.lines[name], float(tally.left - tally.new)  # which a run before this one asks
        stored, planned = self._whole_batches(line, tally)
        expected, most = expected + stored + planned, most + stored + planned
        # A guard of the run before may keep some of its calls from being made; then they are this run's.
        mine = min(line.doubtful, again)
        line.doubtful += max(0.0, tally.left - expected) - mine
        expected, most = max(0.0, expected - again + mine), self.every * max(0.0, most - again)
        share, new = self.every * expected / tally.new if tally.new else 0.0, line.alike.new
        line.given.add(tally.given, share)
        line.given.add(tally.following, share * new * line.alike.longer)
        expected = self.every * max(0.0, expected - tally.follow * (1 - new))
        if not tally.new:  # what only a check brings about was not rehearsed
            line.given.add(line.learned.given, expected)
        line.stored += self.every * (tally.stored - stored)
        line.calls += expected
        line.most += most
        line.longest += most * (tally.longest / tally.new if tally.new else line.limit(Prompt("")))
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
            if not getattr(engine, "is_model", True):
                divided = all(parts(prompt.reply or ""))
                return self.store.shelf(engine).find(prompt.key) or (DIVIDED if divided else READING)
            flow = Flow.current()
            mine = self._mine[flow]
            response, made = look(engine, prompt, mine, flow.stage)
            mine.append(made)
            return response

        return call

    def _judge(self, judge: Judge, flow: Flow) -> Judge:
        """The judge, for a flow that is rehearsed."""
        calls = self._mine[flow]
        return Supposed(judge, lambda: bool(calls) and not calls[-1].known)

    def _opened(self, flow: Flow, sample: Sample) -> None:
        """Take down the calls of a flow from here on; they are opened in the order of their samples."""
        self._mine[flow] = Calls(next(self._numbers) // BLOCK, asked(sample), number_of(sample.prompt))

    def _look(self, engine: Engine, prompt: Prompt, before: Calls, stage: str) -> tuple[Response, Made]:
        """The stored answer, or a stand-in; counted."""
        made = self._counted_call(engine, prompt, before, stage)
        line = self.lines[made.name]
        return line.shelf.get(prompt.key) if made.known else stand_in(line, prompt), made

    def _counted_call(self, engine: Engine, prompt: Prompt, before: Calls, stage: str) -> Made:
        """Count a call that comes after others of its sample: whose it is, and whether it is answered."""
        name, line = self._line(engine)
        tally, number = self._tallies[name], number_of(prompt)
        # Of a part of the samples nobody knows who shares a batch.
        if line.shelf.batched and self.every == 1:
            tally.batched[before.round(stage)][number] = prompt
        if prompt.key in line.shelf:
            tally.stored += 1
            if before and number != before.own:
                line.alike.add(number, {made.number for made in before}, before.question, of_text(prompt))
            if line.learned.few and number not in line.seen:
                line.seen.add(number)
                line.learned.prompt(prompt, line.shelf.get(prompt.key))
            return Made(name, True, number)
        tally.left += 1
        if number not in line.seen:
            line.seen.add(number)
            tally.new += 1
            follows = number != before.own and any(not made.known for made in before)
            tally.follow += follows
            (tally.following if follows else tally.given).add(line.guess(prompt))
            tally.longest += line.limit(prompt)
        return Made(name, False, number)

    def _line(self, engine: Engine) -> tuple[str, Line]:
        shelf = self.store.shelf(engine)
        name = shelf.folder.name
        if name not in self.lines:
            self.lines[name] = Line(engine, shelf)
        return name, self.lines[name]


def asked(sample: Sample) -> str:
    """The question of a sample: that of its repeats and of its other pictures too."""
    return f"{sample.question.scenario} {sample.question.id}"


def number_of(prompt: Prompt) -> int:
    """A part of its key, which takes less room."""
    return int(prompt.key[:15], 16)


def stand_in(line: Line, prompt: Prompt) -> Response:
    """An answer that nobody gave: of the expected length, and no other prompt's."""
    words = max(1, round(line.answer) - len(prompt.key) // A_WORD)
    return Response(f"{prompt.key} {'and ' * words}")
