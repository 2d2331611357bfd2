"""Counting the calls of one run while its flows are rehearsed: whose they are, and which are answered already."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from mmsb.defense.base import Caller
from mmsb.flow import Flow
from mmsb.model.base import Engine
from mmsb.preflight.lines import Given, Line
from mmsb.store import Store
from mmsb.types import Outcome, Prompt, Response

AT_A_TIME = 1024  # flows; none of them ever waits
A_WORD = 4  # letters of a stand-in for each token that is expected
Calls = list[tuple[str, bool]]  # of a sample: who is asked, and whether the answer is stored
Look = Callable[[Engine, Prompt, Calls], tuple[Response, str, bool]]  # what comes after these, whose, whether stored
READING = Response('["compliance",[],{}]')  # of a stand-in; a reading by rules is no call


@dataclass
class Tally:
    """What one model is asked by the samples of a run that were rehearsed.

    Attributes:
        stored: calls that are answered.
        left: calls that are not.
        new: those of them that no run before this one makes.
        follow: those of the new ones whose prompt is made of an answer that nobody has yet.
        given: tokens in of the new ones, by the rules.
        longest: tokens out of the new ones, were each answer as long as it may be.
    """

    stored: int = 0
    left: int = 0
    new: int = 0
    follow: int = 0
    given: Given = field(default_factory=Given)
    longest: int = 0


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
    _mine: dict[Flow, Calls] = field(default_factory=dict)

    def run(self) -> None:
        """Rehearse it, and add what it takes to the lines."""
        raise NotImplementedError

    def _add(self, name: str, tally: Tally, expected: float, most: float) -> None:
        """Add calls to the model's line: as expected, and at most."""
        line, again = self.lines[name], float(tally.left - tally.new)  # which a run before this one asks
        alike = tally.follow * (1 - line.unlike)
        expected, most = self.every * max(0.0, expected - again - alike), self.every * max(0.0, most - again)
        line.stored += self.every * tally.stored
        line.calls += expected
        line.most += most
        line.longest += most * (tally.longest / tally.new if tally.new else line.limit(Prompt("")))
        line.given.add(tally.given, expected / tally.new if tally.new else 0.0)
        self.calls[name] = expected

    def _caller(self, look: Look) -> Caller:
        async def call(engine: Engine, prompt: Prompt, role: str | None = None) -> Outcome:
            if not getattr(engine, "is_model", True):
                return READING
            mine = self._mine[Flow.current()]
            response, name, known = look(engine, prompt, mine)
            mine.append((name, known))
            return response

        return call

    def _look(self, engine: Engine, prompt: Prompt, before: Calls) -> tuple[Response, str, bool]:
        """The stored answer, or a stand-in; counted."""
        name, known = self._counted_call(engine, prompt, before)
        line = self.lines[name]
        return line.shelf.get(prompt.key) if known else stand_in(line, prompt), name, known

    def _counted_call(self, engine: Engine, prompt: Prompt, before: Calls) -> tuple[str, bool]:
        """Count a call that comes after others of its sample: whose it is, and whether it is answered."""
        name, line = self._line(engine)
        tally, number = self._tallies[name], int(prompt.key[:15], 16)
        if prompt.key in line.shelf:
            tally.stored += 1
            if before:
                line.followed += 1
                line.distinct.add(number)
            if line.learned.few and number not in line.seen:
                line.seen.add(number)
                line.learned.prompt(prompt, line.shelf.get(prompt.key))
            return name, True
        tally.left += 1
        if number not in line.seen:
            line.seen.add(number)
            tally.new += 1
            tally.follow += any(not known for _, known in before)
            tally.given.add(line.guess(prompt))
            tally.longest += line.limit(prompt)
        return name, False

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
