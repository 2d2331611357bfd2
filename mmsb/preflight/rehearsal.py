"""Rehearsing runs: their flows run with what the store has, so that every call that is left shows. Nobody is asked.

A call that nobody has answered gets a reply that came to others of its kind, so that what follows from it (the judge's
prompt, a defense's second question) is counted as often as it came; where too few tell, it gets a stand-in as long as
the model's answers are. What there is at least and at most is found by trying what checks listen to.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import Any

from mmsb.defense.base import Ask, Defense, Prepared, defended
from mmsb.defense.none import NoDefense
from mmsb.digest import digest
from mmsb.errors import MmsbError, StoreError
from mmsb.experiment import Experiment
from mmsb.flow import Flow, Unanswered
from mmsb.judge.base import judged
from mmsb.model.base import engines_in
from mmsb.picture import SEEN
from mmsb.pipeline import BLOCK, each
from mmsb.preflight.bounds import LEADS, Bounds, Ends
from mmsb.preflight.calls import Calls, Kind, Said
from mmsb.preflight.counting import AT_A_TIME, Counting, Look
from mmsb.preflight.learned import ENOUGH, Mean
from mmsb.types import Sample

TRIED = 2  # samples whose ends are looked for, of those that can go on in the same ways
Way = tuple[bool, tuple[tuple[Kind, bool], ...]]  # with a picture or not; the calls up to the first without an answer


@dataclass(kw_only=True)
class Rehearsal(Counting):
    """One run.

    Attributes:
        experiment: its settings.
        samples: how many it has.
        bounds: what was found for samples that can go on in the same ways; shared by all runs.
    """

    experiment: Experiment
    samples: int
    bounds: Bounds
    _defenses: Sequence[Defense] = ()
    _left: defaultdict[Way, list[Sample]] = field(default_factory=lambda: defaultdict(list))  # some of each way
    _many: Counter[Way] = field(default_factory=Counter)
    _repeated: defaultdict[Way, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _answers: Mean = field(default_factory=Mean)  # tokens of stored ones, where nothing but them is asked
    _before: Ends = field(default_factory=Ends)  # of what defenses ask before the first sample

    def run(self) -> None:
        """Rehearse it."""
        self._defenses = list(self._prepared(self._look))
        with SEEN.stretch():
            for sample, calls in self._flown() if self._asks or self._defenses else map(self._alone, self._counted()):
                if calls.open:
                    self._leave(sample, calls)

    def again(self) -> None:
        """Rehearse what is left with what models replied to others."""
        if any(tally.left for tally in self._tallies.values()):
            for state in (self._tallies, self.sizes, self.steps, self.unsure, self._left, self._many, self._repeated):
                state.clear()
            self.guessed, self._numbers, self._learns = False, count(), False
            self.run()

    def settle(self) -> None:
        """Find what is left at least and at most, and add it."""
        self._ask_before()
        least, most, sure = Counter(self._before.least), Counter(self._before.most), Counter[str]()
        for name, tally in self._tallies.items():
            sure[name] = tally.left - tally.new
        for way, samples in self._left.items():
            ends = self.bounds.of((self._who, way), [partial(self._fly, sample) for sample in samples])
            for total, found in ((least, ends.least or Counter()), (most, ends.most)):
                total.update({name: calls * self._many[way] for name, calls in found.items()})
            # What a run before asks about the same reply is this run's, if another reply takes its place.
            if ends.branches:
                sure -= self._repeated[way]
        self._range = {name: (least[name] - sure[name], most[name] - sure[name]) for name in {*self._tallies, *most}}
        for name, (low, high) in self._range.items():
            self._tallies[name]  # of a model that only a check leads to there is none yet
            self.lines[name].guessed |= self.guessed and low < high
        super().settle()

    @property
    def _who(self) -> str:
        """All that listen to replies."""
        return digest([self.defending, self.judging, self._line(self.experiment.model)[0]])

    @cached_property
    def judging(self) -> str:
        """Its judge's fingerprint, in short."""
        return digest(dict(self.experiment.judge.fingerprint()))

    @cached_property
    def defending(self) -> str:
        """Its defenses' fingerprints, in short."""
        return digest([[name, dict(one.fingerprint())] for name, one in self.experiment.defense.items()])

    @property
    def _asks(self) -> bool:
        """Whether the judge does."""
        return any(engines_in(self.experiment.judge))

    def _leave(self, sample: Sample, calls: Calls) -> None:
        self.steps.add(calls.steps)
        first = next(place for place, made in enumerate(calls) if not made.known)
        way = sample.prompt.image is not None, tuple((made.kind, made.known) for made in calls[: first + 1])
        self._many[way] += 1
        self._repeated[way] += calls.repeated
        self.guessed = self.guessed or calls.guessed
        # With the longest of all: its prompts bound those of the others.
        self._left[way] = sorted([*self._left[way], sample], key=_words, reverse=True)[:TRIED]

    def _flown(self) -> Iterator[tuple[Sample, Calls]]:
        work = self._rehearsed(self._look)
        yield from each(((sample, None) for sample in self._counted()), nullcontext(work), AT_A_TIME)

    def _fly(self, sample: Sample, replies: Sequence[Said]) -> list[Calls]:
        work = self._rehearsed(self._tried)
        found = {id(calls.told): calls for _, calls in each(((sample, one) for one in replies), nullcontext(work), 64)}
        return [found[id(one)] for one in replies]

    def _alone(self, sample: Sample) -> tuple[Sample, Calls]:
        """A sample that is one call: it needs no flow, and thousands of them are looked up in no time."""
        calls = Calls(block=next(self._numbers) // BLOCK)
        name, line = self._line(self.experiment.model)
        made = self._counted_call(self.experiment.model, sample.prompt, calls, Kind(name, "answer", "answer"), None)
        if made.known and self._answers.count < ENOUGH:
            self._answers.add(line.shelf.get(sample.prompt.key).output_tokens or line.answer)
        if made.new:
            self._tallies[name].came[None] += self._answers.value or line.answer
        calls.append(made)
        return sample, calls

    def _counted(self) -> Iterator[Sample]:
        names = {scenario.id: scenario.name for scenario in self.experiment.scenarios}
        for number, (question, repeat) in enumerate(self.experiment.asked()):
            if not question.benign and not repeat:
                self.sizes[names[question.scenario]] += 1
            if number % self.every == 0:
                yield self.experiment.sample(question, repeat)

    def _ask_before(self) -> None:
        """What defenses ask before the first sample, at least and at most."""
        if any(isinstance(defense, Prepared) for defense in self.experiment.defense.values()):
            for lead in LEADS:
                for _ in self._prepared(self._tried, Said(lead)):
                    pass

    def _prepared(self, look: Look, said: Said | None = None) -> Iterator[Defense]:
        """The defenses; one that asks before the first sample is prepared with what is stored."""
        caller = self._caller(look)
        with tempfile.TemporaryDirectory(prefix="mmsb-plan-") as folder:  # what it makes of stand-ins is no pool

            async def prepare(defense: Defense | Prepared) -> Defense | None:
                if not isinstance(defense, Prepared):
                    return defense
                self._mine[Flow.current()] = calls = Calls()
                calls.told = said
                try:
                    return await defense.prepare(Ask(self.experiment.model, (), caller), Path(folder))
                except StoreError:
                    raise
                except (MmsbError, Unanswered, ValueError):
                    self.unsure.add(f"calls of defense.{defense.name}")
                    return None
                finally:
                    if said:
                        self._before.add(calls)

            # That none defends costs no call, and is the way that most samples go.
            real = [defense for defense in self.experiment.defense.values() if not isinstance(defense, NoDefense)]
            yield from filter(None, each(real, nullcontext(prepare), 1))

    def _rehearsed(
        self, look: Look
    ) -> Callable[[tuple[Sample, Said | None]], Coroutine[Any, Any, tuple[Sample, Calls]]]:
        """The flow of a sample, and of what its calls are given; gives the calls that it makes."""
        caller = self._caller(look)

        async def flow_of(one: tuple[Sample, Said | None]) -> tuple[Sample, Calls]:
            self._opened(flow := Flow.current(), *one)
            try:
                outcome = await defended(one[0].prompt, self.experiment.model, self._defenses, caller)
                flow.stage = "judge"
                if self._asks:
                    await judged(self._judge(self.experiment.judge, flow), one[0], outcome, caller)
            except StoreError:  # what cannot be read would look as if all were answered
                raise
            # A stand-in is no sensible reply. What cannot go on with one is named in the plan, and the run starts.
            except (MmsbError, Unanswered, ValueError) as error:
                if one[1] is None:
                    self.unsure.add(f"calls after {type(error).__name__}")
            return one[0], self._mine.pop(flow)

        return flow_of


def _words(sample: Sample) -> int:
    return len(sample.prompt.text) + len(sample.question.plain)
