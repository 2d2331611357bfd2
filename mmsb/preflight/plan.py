"""The plan: what runs will take, before the first of them starts. What is answered already is not counted."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from mmsb.bill import Expected, Range
from mmsb.metrics.significance import effective, smallest_difference
from mmsb.model.openai import OpenAI
from mmsb.preflight import memory
from mmsb.preflight.counting import Counting
from mmsb.preflight.elsewhere import elsewhere
from mmsb.preflight.lines import Line
from mmsb.preflight.places import Place
from mmsb.preflight.replies import Replies
from mmsb.prices import Prices, duration, money
from mmsb.spending import prices_as_asked, unpaid
from mmsb.store import Store

MOST = 20_000  # samples that are rehearsed; of more, an even part stands for all
OLD = 6  # months after which prices are told to be old
SURE = 2.0  # standard errors to either side, for the ends that are told
NEAR = 0.05  # of what is expected: ends that are nearer are not told
FAR = 2.0  # times as long as expected: told beside it
CHANGED = 0.1  # share of the questions that are supposed to change between two runs; `mmsb.plan` has others


@dataclass
class Plan:
    """What runs will take.

    Attributes:
        prices: what tokens cost.
        lines: what each model is asked, by the folder of its answers.
        runs: the rehearsals.
        every: one of so many samples was rehearsed.
        samples: of all runs.
        slow: seconds, if calls come as they did before, of an endpoint that had some wait.
        beside: seconds that are no calls': a run's start, its records, the page at the end.
    """

    prices: Prices | None
    lines: dict[str, Line] = field(default_factory=dict)
    runs: list[Counting] = field(default_factory=list)
    every: int = 1
    samples: int = 0
    slow: float = 0.0
    beside: float = 0.0

    @property
    def asked(self) -> list[Line]:
        """The models that will be asked, the dearest first."""
        left = [line for line in self.lines.values() if line.most > 0]
        return sorted(left, key=lambda line: (-(line.dollars(self.prices) or (0.0,))[0], -line.calls))

    @property
    def calls(self) -> Range:
        """Of all models together."""
        return _range(self.asked)

    @property
    def dollars(self) -> tuple[float, float] | None:
        """As expected and at most, of the models whose price is known; None where none is."""
        known = [spent for line in self.asked if (spent := line.dollars(self.prices))]
        # Of what has no price nothing is added: who reads the sum is told beside it what is not in it.
        return (sum(one for one, _ in known), sum(one for _, one in known)) if known else None

    @property
    def unpriced(self) -> list[str]:
        """Models that somebody may charge for, at a price that nobody knows."""
        unknown = {line.engine.name for line in self.asked if line.dollars(self.prices) is None}
        return sorted(unknown - unpaid([line.engine for line in self.asked]))

    @property
    def seconds(self) -> float | None:
        """Of the runs one after the other; None where a model that is asked was never timed."""
        found = [self._seconds(run) for run in self.runs]
        return None if None in found else sum(filter(None, found)) + self.beside

    def _seconds(self, run: Counting) -> float | None:
        """Of one run. Its models work side by side, so that the slowest counts."""
        here, places = 0.0, dict[str, Place]()
        for name, calls in run.calls.items():
            line = self.lines[name]
            each, engine = line.seconds(self.prices), line.engine
            if not calls:
                continue
            if each is None or getattr(engine, "batch", False):  # a batch comes back when it likes
                return None
            if isinstance(engine, OpenAI):
                tokens = calls / line.calls * (line.input + line.output) if line.calls else 0.0
                # Not the URL of a server that is yet to be started: it has none.
                places.setdefault(engine.name if engine.serve else engine.urls[0], Place()).add(
                    engine, calls, calls * each, tokens
                )
            else:
                here += calls * each / getattr(engine, "replicas", 1)
        return max(here, self._way(run), *(place.seconds for place in places.values()))

    def _way(self, run: Counting) -> float:
        """The seconds that a sample of a run takes whose calls wait for one another, however few there are."""
        ways = ([self.lines[name] for name in way] for way in run.steps)
        return max((sum(_late(line, self.prices) for line in way) for way in ways), default=0.0)

    @property
    def expected(self) -> Expected:
        """In short, for the bill."""
        spent = self.dollars
        return Expected(
            self.calls,
            round(sum(line.input for line in self.asked)),
            round(sum(line.output for line in self.asked)),
            spent[0] if spent and not self.unpriced else None,
            self.seconds,
        )

    @property
    def smallest(self) -> float | None:
        """The smallest change of the average over scenarios two runs show where a tenth of the questions change."""
        sizes = [run.sizes for run in self.runs if run.sizes]
        found = [smallest_difference(effective(list(size.values())), CHANGED, CHANGED) for size in sizes]
        # The largest: what the least telling comparison shows, so that no pair of runs disappoints.
        return max((one for one in found if one), default=None)

    def told(self, runs: int) -> Iterator[str]:
        """The plan for people; `runs` is how many the command has, of which some may be impossible."""
        asked, about = self.asked, "about " if self.every > 1 else ""
        mine, others = len(self.runs), " (the others cannot start)"
        these = _several(mine, "run") if mine == runs else f"{mine:,} of {runs:,} runs{others}"
        count = f"{these}, {_several(self.samples, 'sample')}"
        stored = sum(line.stored for line in self.lines.values())
        unsure = [f"  not in it: {one}" for one in sorted({one for run in self.runs for one in run.unsure})]
        if not asked:
            yield f"plan: {count}; every answer is in the store, nothing will be asked"
            yield from unsure
            return
        kept = f" ({about}{stored:,.0f} more are answered in the store)" if stored else ""
        yield f"plan: {count}; {about}{self.calls.told()} {_calls(self.calls)} to make{kept}"
        width = max(len(line.engine.name) for line in asked)
        for line in asked:
            yield f"  {line.engine.name:{width}}  {self._line(line)}"
        yield f"  money: {self._money()}; time: {self._time()}"
        if self.dollars and self.prices and (months := self.prices.months(datetime.date.today())) >= OLD:
            yield (
                f"  these prices are {months} months old, and may have changed: '+prices.llm={{NAME: {{input: 1, "
                "output: 2}}' or prices=litellm prices.file=FILE has others"
            )
        if shown := self.smallest:
            yield f"  smallest change that shows: {100 * shown:.1f} points (where 10 % of two runs' answers differ)"
        for line in asked:
            yield from memory.told(line)
            if line.elsewhere:
                yield f"  answers of {line.engine.name} in the store are not these: {line.elsewhere}"
        supposed = [f"{line.engine.name}: {', '.join(told)}" for line in asked if (told := list(line.supposed))]
        if supposed:
            yield f"  supposed, as no answer in the store tells: {'; '.join(supposed)}"
        yield from unsure

    def _line(self, line: Line) -> str:
        most_in = f" (at most {line.most_input:,.0f})" if round(line.most_input) > round(line.input) else ""
        calls = _range([line])
        tokens_in = f"{line.input:,.0f} tokens in{most_in}"
        ends = _ends(line.output, line.longest, line.output_error, line.more_output, _count)
        tokens = f"{tokens_in}, {line.output:,.0f} out ({ends})"
        spent = line.dollars(self.prices)
        told = f", {self._dollars(spent, [line])}" if spent else ""
        return f"{calls.told()} {_calls(calls)}, {tokens}{told}"

    def _money(self) -> str:
        spent, unknown = self.dollars, self.unpriced
        parts = [self._dollars(spent, self.asked)] if spent else []
        if unknown:
            parts.append(f"unknown for {', '.join(unknown)}, not in the table of prices")
        elif not spent:
            return "none, nothing is paid by tokens"
        dated = f", by prices of {self.prices.read}" if spent and self.prices else ""
        return ", and ".join(parts) + dated

    def _dollars(self, spent: tuple[float, float], lines: Sequence[Line]) -> str:
        # Not by their squares: a judge's prompts are as long as the answers that it judges.
        error, more = (sum(one) for one in zip(*(line.unsure(self.prices) for line in lines), strict=True))
        return f"{money(spent[0])} ({_ends(*spent, error, more, money)})"

    def _time(self) -> str:
        seconds = self.seconds
        if seconds is None:
            return "unknown, no call was timed yet"
        slow = f", or {duration(self.slow)} as answers came so far" if self.slow > FAR * seconds else ""
        return f"about {duration(seconds)}{slow}"


class Asks(Protocol):
    """Settings of what asks models."""

    @property
    def output_dir(self) -> Path:
        """Where the store is."""
        ...

    @property
    def prices(self) -> Prices | None:
        """What tokens cost."""
        ...


A = TypeVar("A", bound=Asks)


def plan(runs: Sequence[tuple[A, int]], rehearsed: Callable[..., Counting]) -> Plan:
    """Rehearse runs.

    Args:
        runs: each with how many samples it has.
        rehearsed: the rehearsal of one, given it, its samples and what all share.
    """
    samples = sum(count for _, count in runs)
    prices = prices_as_asked(runs[0][0].prices, runs[0][0]) if runs else None
    made = Plan(prices, every=max(1, -(-samples // MOST)), samples=samples)
    stores, replies = dict[str, Store](), Replies()
    for number, (run, count) in enumerate(runs):
        store = stores.setdefault(str(run.output_dir), Store(run.output_dir / "store"))
        rehearsal = rehearsed(
            run, count, store=store, lines=made.lines, replies=replies, number=number, every=made.every
        )
        rehearsal.run()
        made.runs.append(rehearsal)
    if replies:
        for line in made.lines.values():
            line.forget()
        for rehearsal in made.runs:
            rehearsal.again()
    for rehearsal in made.runs:
        rehearsal.settle()
    asked = [line for line in made.asked if isinstance(line.engine, OpenAI) and not line.engine.batch]
    made.slow = max((line.slow for line in asked), default=0.0)  # they came side by side
    for line in made.asked:
        line.elsewhere = elsewhere(line.shelf, line.engine.fingerprint())  # before its shelf forgets what it holds
    # A run opens the store anew: what another process adds meanwhile is found by it.
    for store in stores.values():
        store.close()
    return made


def _range(lines: Sequence[Line]) -> Range:
    calls, least, most = (round(sum(getattr(line, name) for line in lines)) for name in ("calls", "least", "most"))
    return Range(calls, least, most, any(line.guessed for line in lines))


def _ends(expected: float, most: float, error: float, more: float, shown: Callable[[float], str]) -> str:
    """Where what came so far lets it end, if that is far from what is expected; and the most."""
    low, high = max(0.0, expected - SURE * error), expected + SURE * error + more
    far = max(high - expected, expected - low) > NEAR * expected and shown(low) != shown(high) and high < most
    return (
        f"{shown(_rounded(low))} to {shown(_rounded(high))}, at most {shown(most)}" if far else f"at most {shown(most)}"
    )


def _rounded(value: float) -> float:
    """To two figures: no more are known."""
    return float(f"{value:.1e}")


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _calls(calls: Range) -> str:
    return "call" if calls.most == 1 else "calls"


def _late(line: Line, prices: Prices | None) -> float:
    # What runs here answers in batches, whose times are summed.
    return line.late(prices) if isinstance(line.engine, OpenAI) else 0.0


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
