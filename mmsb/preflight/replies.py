"""What models replied so far, by what they were asked for. What nobody has answered yet is drawn from it.

A check says yes as often as it did, answers are as long as they were, and what follows from them is counted so. The
replies of one stored sample are drawn together, since what a check says depends on what was answered.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from mmsb.judge.thinking import parts
from mmsb.preflight.calls import Calls, Kind
from mmsb.types import Prompt, Response

ENOUGH = 8  # replies of a kind that tell what the next ones will be like
MOST = 512  # that are kept of a kind
ALL = -1  # runs
READING = Response('["compliance",[],{}]')  # of a stand-in; a reading by rules is no call
DIVIDED = Response('["compliance",["stray_thinking"],{}]')
EMPTY = Response('["degenerate",["empty"],{}]')


@dataclass
class Some:
    """Replies of one kind, by the sample that they came to."""

    by_sample: dict[int, Response] = field(default_factory=dict)
    _numbers: set[int] = field(default_factory=set)
    _order: list[int] = field(default_factory=list)
    _next: int = 0

    def __len__(self) -> int:
        """How many samples have one."""
        return len(self.by_sample)

    def add(self, sample: int, number: int, reply: Response) -> None:
        """One more; a prompt counts once, whoever asks it."""
        if number not in self._numbers and len(self._numbers) < MOST:
            self._numbers.add(number)
            self.by_sample.setdefault(sample, reply)
            self._order.clear()

    def next(self, donor: int | None) -> int:
        """The donor where it has one, else samples in turn: chance would make a plan of few samples worse."""
        if donor in self.by_sample:
            return donor
        if not self._order:
            self._order = sorted(self.by_sample)  # their numbers are digests, in no order
        self._next += 1
        return self._order[self._next % len(self._order)]


@dataclass
class Replies:
    """Of all kinds: those of each run, which go first, and those of all runs."""

    _kinds: defaultdict[tuple[int, Kind], Some] = field(default_factory=lambda: defaultdict(Some))
    _readings: dict[int, Response] = field(default_factory=dict)
    _drawn: dict[tuple[Kind, int], tuple[Response, int]] = field(default_factory=dict)  # the same in all runs

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._kinds)

    def add(self, run: int, kind: Kind, sample: int, number: int, reply: Response) -> None:
        """A stored reply."""
        for whose in (run, ALL):
            self._kinds[whose, kind].add(hash((run, sample)), number, reply)

    def draw(self, run: int, kind: Kind, number: int, before: Calls) -> Response | None:
        """A reply for a prompt that has none; None where there is none of this kind.

        Of what checks may lead to the number of replies says how often they did, so that any are enough.
        """
        own, all_runs = self._kinds.get((run, kind)), self._kinds.get((ALL, kind))
        if all_runs is None:
            return None
        before.guessed = before.guessed or (len(all_runs) < ENOUGH and not before.open)
        if (kind, number) not in self._drawn:
            some = own if own and (len(own) >= ENOUGH or before.open) else all_runs
            donor = some.next(before.donor)
            self._drawn[kind, number] = some.by_sample[donor], donor
        reply, before.donor = self._drawn[kind, number]
        return reply

    def reading(self, prompt: Prompt, stored: Response | None) -> Response:
        """How an answer reads: as stored, else as the same words under another question, else as help."""
        words = hash((prompt.text, prompt.reply))
        if stored:
            self._readings.setdefault(words, stored)
            return stored
        if not prompt.reply:
            return EMPTY
        return self._readings.get(words) or (DIVIDED if all(parts(prompt.reply)) else READING)
