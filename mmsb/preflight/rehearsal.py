"""Rehearsing runs: their flows run with what the store has, so that every call that is left shows. Nobody is asked.

A call that nobody has answered gets a stand-in as long as the model's answers are, so that what follows from it (the
judge's prompt, a defense's second question) is counted too. Whether a defense's check leads to further calls depends on
what it will say: some samples are rehearsed once for each thing that checks listen to, for the most there can be.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mmsb.defense.base import Ask, Defense, Prepared, defended
from mmsb.defense.none import NoDefense
from mmsb.errors import MmsbError
from mmsb.experiment import Experiment
from mmsb.flow import Flow, Unanswered
from mmsb.judge.base import judged
from mmsb.model.base import Engine, engines_in
from mmsb.picture import SEEN
from mmsb.pipeline import BLOCK, each
from mmsb.preflight.counting import AT_A_TIME, Calls, Counting, Look, Made, number_of, stand_in
from mmsb.types import Prompt, Response, Sample

TRIED = 24  # samples that are rehearsed with each of the replies that checks listen to
LEADS = ("Yes.", "No.", "unsafe\nS1")
FEW = 8  # complete samples below which they do not tell what the others will take


@dataclass
class Seen:
    """The samples of a run, by what is stored of them.

    Attributes:
        whole: how many are answered to their end.
        parts: how many are not.
        known: calls of the whole ones, by model.
        before: stored calls of the others, before the first that is not.
        later: those after it. They are asked only if what is not known yet leads there: the judge of an answer that a
            check may still replace.
    """

    whole: int = 0
    parts: int = 0
    known: Counter[str] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)

    def add(self, calls: Calls) -> None:
        """One more."""
        first = next((place for place, call in enumerate(calls) if not call.known), None)
        if first is None:
            self.whole += 1
            self.known.update(call.name for call in calls)
        else:
            self.parts += 1
            self.before.update(call.name for call in calls[:first])
            self.later.update(call.name for call in calls[first:] if call.known)

    def led(self, least: float, most: float) -> float:
        """How far checks led on in the whole ones, from 0 to 1; a sample makes from `least` to `most` calls."""
        if self.whole < FEW:
            return 0.0
        return min(1.0, max(0.0, (self.known.total() / self.whole - least) / (most - least)))


@dataclass(kw_only=True)
class Rehearsal(Counting):
    """One run.

    Attributes:
        experiment: its settings.
        samples: how many it has.
    """

    experiment: Experiment
    samples: int
    _tries: int = 1

    def run(self) -> None:
        """Rehearse it."""
        defenses = self._prepared()
        seen, chosen = Seen(), self._counted()
        flows = defenses or any(engines_in(self.experiment.judge))
        with SEEN.stretch():
            for calls in self._flown(chosen, defenses) if flows else map(self._alone, chosen):
                seen.add(calls)
        # Where nothing defends, no reply leads to another call, and all that can be asked is asked.
        least, most = self._range(defenses) if defenses and seen.parts else ({}, {})
        branches = sum(most.values()) > sum(least.values())
        led = seen.led(sum(least.values()), sum(most.values())) if branches else 0.0
        for name in {*self._tallies, *most}:
            expected, later = float(self._tallies[name].left), seen.later[name]
            bound = seen.parts * most.get(name, 0.0) - seen.before[name] - later * (not branches)
            if defenses and seen.whole >= FEW:  # what the checks of other samples led to tells what these will
                made = seen.parts * seen.known[name] / seen.whole
                expected = max(0.0, made - seen.before[name] - (1 - led) * later)
            elif bound > expected:
                self.lines[name].unchecked = True
            self._left[name] = expected, max(expected, bound)

    def _flown(self, samples: Iterable[Sample], defenses: Sequence[Defense]) -> Iterator[Calls]:
        yield from each(samples, nullcontext(self._rehearsed(defenses, self._look)), AT_A_TIME)

    def _alone(self, sample: Sample) -> Calls:
        """A sample that is one call: it needs no flow, and thousands of them are looked up in no time."""
        calls = Calls(next(self._numbers) // BLOCK)
        calls.append(self._counted_call(self.experiment.model, sample.prompt, calls, "answer"))
        return calls

    def _counted(self) -> Iterator[Sample]:
        names = {scenario.id: scenario.name for scenario in self.experiment.scenarios}
        for number, (question, repeat) in enumerate(self.experiment.asked()):
            if not question.benign and not repeat:
                self.sizes[names[question.scenario]] += 1
            if number % self.every == 0:
                yield self.experiment.sample(question, repeat)

    def _prepared(self) -> list[Defense]:
        """The defenses; one that asks before the first sample is prepared with what is stored."""
        found: list[Defense] = []
        with tempfile.TemporaryDirectory(prefix="mmsb-plan-") as folder:  # what it makes of stand-ins is no pool

            async def prepare(defense: Defense | Prepared) -> Defense | None:
                if not isinstance(defense, Prepared):
                    return defense
                self._mine[Flow.current()] = Calls()
                try:
                    return await defense.prepare(Ask(self.experiment.model, (), self._caller(self._look)), Path(folder))
                except (MmsbError, Unanswered, ValueError):
                    self.unsure.add(f"calls of defense.{defense.name}")
                    return None

            ready = {
                defense.name: defense
                for defense in each(self.experiment.defense.values(), nullcontext(prepare), 1)
                if defense
            }
        for defense in self.experiment.defense.values():
            # That none defends costs no call, and is the way that most samples go.
            found += [ready[defense.name]] if defense.name in ready and not isinstance(defense, NoDefense) else []
        return found

    def _rehearsed(self, defenses: Sequence[Defense], look: Look) -> Callable[[Sample], Coroutine[Any, Any, Calls]]:
        """The flow of a sample; gives the calls that it makes, and whether each is answered."""
        caller, asks = self._caller(look), any(engines_in(self.experiment.judge))

        async def flow_of(sample: Sample) -> Calls:
            self._opened(flow := Flow.current(), sample)
            try:
                outcome = await defended(sample.prompt, self.experiment.model, defenses, caller)
                flow.stage = "judge"
                if asks:
                    await judged(self._judge(self.experiment.judge, flow), sample, outcome, caller)
            # A stand-in is no sensible reply. What cannot go on with one is named in the plan, and the run starts.
            except (MmsbError, Unanswered, ValueError) as error:
                self.unsure.add(f"calls after {type(error).__name__}")
            return self._mine.pop(flow)

        return flow_of

    def _range(self, defenses: Sequence[Defense]) -> tuple[dict[str, float], dict[str, float]]:
        """How many calls of each model a sample makes if no check leads on, and at most, as far as some show."""
        tried = [self._tried(defenses, lead) for lead in ("", *LEADS)]
        most = {name: max(one[name] for one in tried) / self._tries for name in set[str]().union(*tried)}
        return {name: count / self._tries for name, count in tried[0].items()}, most

    def _tried(self, defenses: Sequence[Defense], lead: str) -> Counter[str]:
        def look(engine: Engine, prompt: Prompt, before: Calls, stage: str) -> tuple[Response, Made]:
            name, line = self._line(engine)
            return Response(lead) if lead else stand_in(line, prompt), Made(name, False, number_of(prompt))

        chosen = islice(self.experiment.samples(), 0, None, max(1, self.samples // TRIED))
        tried = list(each(chosen, nullcontext(self._rehearsed(defenses, look)), AT_A_TIME))
        self._tries = len(tried)
        return Counter(call.name for calls in tried for call in calls)
