"""Rehearsing runs: their flows run with what the store has, so that every call that is left shows. Nobody is asked.

A call that nobody has answered gets a stand-in as long as the model's answers are, so that what follows from it (the
judge's prompt, a defense's second question) is counted too. Whether a defense's check leads to further calls depends on
what it will say: some samples are rehearsed once for each thing that checks listen to, for the most there can be.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mmsb.defense.base import Ask, Caller, Defense, Prepared, defended
from mmsb.defense.none import NoDefense
from mmsb.errors import MmsbError
from mmsb.experiment import Experiment
from mmsb.flow import Flow, Unanswered
from mmsb.judge.base import judged
from mmsb.model.base import Engine, engines_in
from mmsb.pipeline import each
from mmsb.preflight.lines import Given, Line
from mmsb.store import Store
from mmsb.types import Outcome, Prompt, Response, Sample

AT_A_TIME = 1024  # flows; none of them ever waits
TRIED = 24  # samples that are rehearsed with each of the replies that checks listen to
LEADS = ("Yes.", "No.", "unsafe\nS1")
FEW = 20  # complete samples below which they do not tell what the others will take
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


@dataclass
class Rehearsal:
    """One run.

    Attributes:
        experiment: its settings.
        samples: how many it has.
        store: what is answered already.
        lines: by the folder of a model's answers; shared by all runs, so that what two of them ask counts once.
        every: one of so many samples is rehearsed, and stands for the others.
        calls: that are left, by the same folders, as expected.
        sizes: harmful questions by scenario.
        unsure: what could not be rehearsed.
    """

    experiment: Experiment
    samples: int
    store: Store
    lines: dict[str, Line]
    every: int = 1
    calls: dict[str, float] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    unsure: set[str] = field(default_factory=set)
    _tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    _tries: int = 1
    _mine: dict[Flow, Calls] = field(default_factory=dict)

    def run(self) -> None:
        """Rehearse it, and add what it takes to the lines."""
        defenses = self._prepared()
        known, other, whole, parts = Counter[str](), Counter[str](), 0, 0
        chosen = islice(self._counted(), 0, None, self.every)
        flows = defenses or any(engines_in(self.experiment.judge))
        for calls in self._flown(chosen, defenses) if flows else map(self._alone, chosen):
            if all(answered for _, answered in calls):
                whole += 1
                known.update(name for name, _ in calls)
            else:
                parts += 1
                other.update(name for name, answered in calls if answered)
        # Where nothing defends, no reply leads to another call, and all that can be asked is asked.
        most = self._most(defenses) if defenses else {}
        for name in {*self._tallies, *most}:
            tally = self._tallies[name]
            expected = float(tally.left)
            if defenses and whole >= FEW:  # what the checks of other samples led to tells what these will
                expected = max(0.0, parts * known[name] / whole - other[name])
            self._add(name, tally, expected, max(expected, parts * most.get(name, 0.0) - other[name]))

    def _flown(self, samples: Iterable[Sample], defenses: Sequence[Defense]) -> Iterator[Calls]:
        yield from each(samples, self._rehearsed(defenses, self._look), AT_A_TIME)

    def _alone(self, sample: Sample) -> Calls:
        """A sample that is one call: it needs no flow, and thousands of them are looked up in no time."""
        name, known = self._counted_call(self.experiment.model, sample.prompt, [])
        return [(name, known)]

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

    def _counted(self) -> Iterator[Sample]:
        for sample in self.experiment.samples():
            if not sample.question.benign and not sample.prompt.repeat:
                self.sizes[sample.scenario.name] += 1
            yield sample

    def _prepared(self) -> list[Defense]:
        """The defenses; one that asks before the first sample is prepared with what is stored."""
        found: list[Defense] = []
        with tempfile.TemporaryDirectory(prefix="mmsb-plan-") as folder:  # what it makes of stand-ins is no pool

            async def prepare(defense: Defense | Prepared) -> Defense | None:
                if not isinstance(defense, Prepared):
                    return defense
                flow = Flow.current()
                self._mine[flow] = []
                try:
                    return await defense.prepare(Ask(self.experiment.model, (), self._caller(self._look)), Path(folder))
                except (MmsbError, Unanswered, ValueError):
                    self.unsure.add(f"calls of defense.{defense.name}")
                    return None

            ready = {defense.name: defense for defense in each(self.experiment.defense.values(), prepare, 1) if defense}
        for defense in self.experiment.defense.values():
            # That none defends costs no call, and is the way that most samples go.
            found += [ready[defense.name]] if defense.name in ready and not isinstance(defense, NoDefense) else []
        return found

    def _rehearsed(self, defenses: Sequence[Defense], look: Look) -> Callable[[Sample], Coroutine[Any, Any, Calls]]:
        """The flow of a sample; gives the calls that it makes, and whether each is answered."""
        caller, asks = self._caller(look), any(engines_in(self.experiment.judge))

        async def flow_of(sample: Sample) -> Calls:
            flow = Flow.current()
            self._mine[flow] = []
            try:
                outcome = await defended(sample.prompt, self.experiment.model, defenses, caller)
                flow.stage = "judge"
                if asks:
                    await judged(self.experiment.judge, sample, outcome, caller)
            # A stand-in is no sensible reply. What cannot go on with one is named in the plan, and the run starts.
            except (MmsbError, Unanswered, ValueError) as error:
                self.unsure.add(f"calls after {type(error).__name__}")
            return self._mine.pop(flow)

        return flow_of

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

    def _most(self, defenses: Sequence[Defense]) -> dict[str, float]:
        """How many calls of each model a sample can make at most, as far as some samples show."""
        most = Counter[str]()
        for lead in ("", *LEADS):
            most |= self._tried(defenses, lead)
        return {name: count / self._tries for name, count in most.items()}

    def _tried(self, defenses: Sequence[Defense], lead: str) -> Counter[str]:
        def look(engine: Engine, prompt: Prompt, before: Calls) -> tuple[Response, str, bool]:
            name, line = self._line(engine)
            return Response(lead) if lead else stand_in(line, prompt), name, False

        chosen = islice(self.experiment.samples(), 0, None, max(1, self.samples // TRIED))
        tried = list(each(chosen, self._rehearsed(defenses, look), AT_A_TIME))
        self._tries = len(tried)
        return Counter(name for calls in tried for name, _ in calls)


def stand_in(line: Line, prompt: Prompt) -> Response:
    """An answer that nobody gave: of the expected length, and no other prompt's."""
    words = max(1, round(line.answer) - len(prompt.key) // A_WORD)
    return Response(f"{prompt.key} {'and ' * words}")
