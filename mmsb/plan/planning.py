"""What a set of questions can show: smallest paired differences, questions needed, widths of intervals.

A comparison of two runs on the same questions rests on how many of them change at all, and that nobody knows before. So
a plan is made for several shares; a finished run tells more: how much two runs of the same kind would differ by chance
alone (from its repeats), and how much two runs with its rates would if their answers had nothing in common.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, variance

import pydantic

from mmsb.config import settings
from mmsb.dataset.base import Dataset, OwnScenarios
from mmsb.errors import ConfigError, DataError
from mmsb.metrics.declared import ASR
from mmsb.metrics.likelihood import Stratum, interval
from mmsb.metrics.rates import Rate
from mmsb.metrics.score import Score
from mmsb.metrics.significance import effective, needed, smallest_difference
from mmsb.report.finished import finished_run
from mmsb.scenario import Scenario

CHANGING = (0.02, 0.05, 0.1, 0.2, 0.4)
SHARES = (0.0, 0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Expected:
    """What comparisons will be like where the mean squared change of a question is `squares`.

    Attributes:
        what: in words.
        squares: without repeats the share of questions that change.
        macro: the smallest change of the average over scenarios that 80 % of such comparisons show; None for none.
        micro: likewise of the average over all questions.
        needed: how many times as many questions the wished difference needs; below 1 where there are enough; None where
            so small a part of the questions changes that the average cannot change that much.
    """

    what: str
    squares: float
    macro: float | None
    micro: float | None
    needed: float | None


@settings
class Plan:
    """Settings of a plan.

    Attributes:
        dataset: whose questions.
        scenario: which scenarios.
        repeats: answers to each question.
        difference: the wished change of the average over scenarios, in (0, 1].
        run: the folder of a finished run to plan with; its questions then count, not the dataset's.
    """

    dataset: Dataset
    scenario: dict[str, Scenario]
    repeats: int = pydantic.Field(default=1, ge=1)
    difference: float = pydantic.Field(default=0.05, gt=0, le=1)
    run: Path | None = None
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    @cached_property
    def values(self) -> Mapping[str, Sequence[Sequence[float]]]:
        """The run's rated answers, by scenario and question; one value a repeat.

        Raises:
            DataError: no finished run, or nothing rated in it.
        """
        assert self.run is not None
        found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in finished_run(self.run).rows():
            score = Score.of(row)
            if ASR.counts(score) and (value := ASR.value(score)) is not None:
                found[score.scenario][score.question].append(float(value))
        if not found:
            raise DataError(f"run={self.run} has no rated answer to a harmful question", "Plan with another run.")
        return {name: list(questions.values()) for name, questions in found.items()}

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Questions by scenario.

        Raises:
            ConfigError: there are none.
        """
        if self.run is not None:
            return {name: len(questions) for name, questions in self.values.items()}
        own = isinstance(self.dataset, OwnScenarios)
        scenarios = self.dataset.scenarios if isinstance(self.dataset, OwnScenarios) else self.scenario.values()
        # harmless twins are asked too, but are in no ASR
        counts = {s.name: sum(not q.benign for q in self.dataset.questions(s)) for s in scenarios}
        counts = {name: count for name, count in counts.items() if count}
        if not counts:
            chosen = "its own scenarios" if own else ", ".join(self.scenario) or "scenario=[]"
            raise ConfigError(f"{self.dataset.name} has no harmful questions for {chosen}", "Choose other scenarios.")
        return counts

    def expected(self) -> list[Expected]:
        """For several shares of questions that change; with a run, from its own answers."""
        if self.run is None:
            alike = f", each in one of {self.repeats} repeats" if self.repeats > 1 else ""
            return [
                # One answer of r changes a question's mean by 1/r, and so its square by 1/r^2.
                self._expected(f"{100 * s:.0f} % of the questions change{alike}", s / self.repeats**2, s / self.repeats)
                for s in CHANGING
            ]
        between, within = self.variances()
        # the difference of two independent runs varies by the sum of both variances
        told = [("their answers have nothing in common", 2 * (between + within))]
        told += [("they differ in half of that", between + within)]
        if within:
            told.append(("they differ by chance alone: two runs of this very kind", 2 * within))
        return [self._expected(what, squares) for what, squares in told]

    def variances(self) -> tuple[float, float]:
        """The run's variance of a question's mean within a scenario: of its own rate, and from its repeats' chance.

        Raises:
            DataError: no scenario has two questions.
        """
        # of 8 questions the plain variance is an eighth too small, and one question would seem not to vary at all
        scenarios = [questions for questions in self.values.values() if len(questions) > 1]
        if not scenarios:
            raise DataError(
                f"run={self.run} has one rated question a scenario, which does not tell how much questions differ",
                "Plan with another run, or from the questions alone: leave run= out.",
            )
        totals = [variance(fmean(values) for values in questions) for questions in scenarios]
        chances = [fmean(_chance(values) for values in questions) for questions in scenarios]
        # by chance the estimate of a part may exceed that of the whole; a variance below 0 would plan nonsense
        within = min(fmean(chances), fmean(totals))
        return fmean(totals) - within, within

    def _expected(self, what: str, squares: float, most: float = 1.0) -> Expected:
        sizes = list(self.sizes.values())
        wished = needed(self.difference, squares, most)
        return Expected(
            what,
            squares,
            smallest_difference(effective(sizes), squares, most),
            smallest_difference(sum(sizes), squares, most),
            wished / effective(sizes) if wished is not None else None,
        )

    def widths(self) -> list[tuple[float, Rate, Rate]]:
        """For several rates: the interval of the average over scenarios, and of a single one of middle size."""
        sizes = sorted(self.sizes.values())
        return [(share, _rate(share, sizes), _rate(share, [sizes[len(sizes) // 2]])) for share in SHARES]


def _chance(values: Sequence[float]) -> float:
    """The variance of a question's mean that comes from drawing its repeats."""
    mean, times = fmean(values), len(values)
    # times - 1: the repeats that were drawn lie nearer to their own mean than to the question's rate
    return mean * (1 - mean) / (times - 1) if times > 1 else 0.0


def _rate(share: float, sizes: Sequence[int]) -> Rate:
    strata = [Stratum((0.0, 1.0), ((1 - share) * n, share * n), 1 / len(sizes)) for n in sizes]
    low, high = interval([s if share else Stratum((0.0,), (sum(s.counts),), s.weight) for s in strata])
    return Rate(share, max(low, 0.0), high, sum(sizes))
