"""Rates and their 95 % intervals, all from one description of what was asked.

A `Design` is that description: scenarios are strata, a question is one independent observation (the mean of its
repeats, or its change between two runs). An average over scenarios weighs them alike (macro) or by their questions
(micro); `mmsb.metrics.likelihood` gives every one of them its interval.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean
from typing import Literal

from mmsb.metrics.likelihood import CHI_SQUARED, Stratum, average, deviance, interval, intervals, tail

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
TAILS = (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE))  # percentiles
ROUNDING = 1e-12

Weighting = Literal["macro", "micro"]
Observation = tuple[str, str, float]  # scenario, question, value


@dataclass(frozen=True, slots=True)
class Rate:
    """A share in [0, 1] (a change in [-1, 1]) with its 95 % interval.

    `n` counts the questions it rests on; None where that is not known any more, as in a finished run's metrics.
    """

    value: float
    low: float
    high: float
    n: int | None


@dataclass(frozen=True, slots=True)
class Counted:
    """How many questions have each value in [`lowest`, 1], by scenario. A scenario without any is not in it."""

    strata: Mapping[str, Mapping[float, int]]
    lowest: float = 0.0

    @property
    def n(self) -> int:
        """How many questions there are."""
        return sum(map(_size, self.strata.values()))

    def only(self, scenarios: Collection[str]) -> Counted:
        """The part in these scenarios."""
        # a scenario without a value is not there: an average over nothing would not be 0
        return Counted({name: values for name, values in self.strata.items() if name in scenarios}, self.lowest)

    def value(self, weighting: Weighting) -> float | None:
        """The average; None where there is nothing."""
        return average(self.weighted(weighting)) if self.strata else None

    def rate(self, weighting: Weighting, limit: float = CHI_SQUARED) -> Rate | None:
        """The average with its interval (95 %, or by another chi-squared point); None where there is nothing."""
        if not self.strata:
            return None
        strata = self.weighted(weighting)
        return self._rate(average(strata), _ends(tuple(strata), self.lowest, limit), self.n)

    def each(self) -> dict[str, Rate]:
        """Every scenario's mean with its interval."""
        strata = [_stratum(values, 1.0) for values in self.strata.values()]
        ends = _each(tuple(strata), self.lowest) if strata else []
        return {
            name: self._rate(average([stratum]), pair, _size(self.strata[name]))
            for name, stratum, pair in zip(self.strata, strata, ends, strict=True)
        }

    def weighted(self, weighting: Weighting) -> list[Stratum]:
        """The scenarios with their weights in the average."""
        n = self.n
        return [
            _stratum(values, _size(values) / n if weighting == "micro" else 1 / len(self.strata))
            for values in self.strata.values()
        ]

    def _rate(self, value: float, ends: tuple[float, float], n: int) -> Rate:
        """Ends that rounding left beside the range's are the range's."""
        # the average and the ends are summed in different orders: a last digit must not put the value outside
        low = self.lowest if ends[0] < self.lowest + ROUNDING else min(ends[0], value)
        high = 1.0 if ends[1] > 1 - ROUNDING else max(ends[1], value)
        return Rate(value, low, high, n)


@dataclass(frozen=True, slots=True)
class Design:
    """What was observed: a value in [`lowest`, 1] by scenario and question. A scenario without any is not in it."""

    strata: Mapping[str, Mapping[str, float]]
    lowest: float = 0.0

    @property
    def counted(self) -> Counted:
        """The values without their questions: 1,680 questions become two numbers a scenario."""
        return Counted({name: Counter(values.values()) for name, values in self.strata.items()}, self.lowest)

    @property
    def n(self) -> int:
        """How many questions there are."""
        return sum(map(len, self.strata.values()))

    def only(self, scenarios: Collection[str]) -> Design:
        """The part in these scenarios."""
        return Design({name: values for name, values in self.strata.items() if name in scenarios}, self.lowest)

    def value(self, weighting: Weighting) -> float | None:
        """The average; None where there is nothing."""
        return self.counted.value(weighting)

    def rate(self, weighting: Weighting, limit: float = CHI_SQUARED) -> Rate | None:
        """The average with its interval (95 %, or by another chi-squared point); None where there is nothing."""
        return self.counted.rate(weighting, limit)

    def each(self) -> dict[str, Rate]:
        """Every scenario's mean with its interval."""
        return self.counted.each()

    def p(self, weighting: Weighting) -> float:
        """How probable an average this far from 0 is where there is none: the test that belongs to the interval."""
        return tail(deviance(self.counted.weighted(weighting), 0.0, self.lowest))

    def squares(self, weighting: Weighting) -> float:
        """The average of the squared values: what a change's power depends on."""
        squared = {name: {q: v * v for q, v in values.items()} for name, values in self.strata.items()}
        return Design(squared).value(weighting) or 0.0


def gathered(
    observations: Iterable[Observation], combine: Callable[[Sequence[float]], float] = fmean, lowest: float = 0.0
) -> Design:
    """Observations as a design, scenarios in order of appearance.

    Args:
        observations: of samples; those of a question are its repeats.
        combine: what a question's repeats amount to.
        lowest: the smallest possible value: 0 for rates, -1 for changes.
    """
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for scenario, question, value in observations:
        found[scenario][question].append(value)
    strata = {
        name: {question: combined(values, combine) for question, values in questions.items()}
        for name, questions in found.items()
    }
    return Design(strata, lowest)


def combined(values: Sequence[float], combine: Callable[[Sequence[float]], float]) -> float:
    """What the values of a question's repeats amount to."""
    return values[0] if len(values) == 1 else combine(values)  # most questions are asked once


@lru_cache(maxsize=1024)  # one run's table, page and record tell the same rates, and each page those of all runs
def _ends(strata: tuple[Stratum, ...], lowest: float, limit: float) -> tuple[float, float]:
    return interval(strata, lowest, limit=limit)


@lru_cache(maxsize=256)
def _each(strata: tuple[Stratum, ...], lowest: float) -> list[tuple[float, float]]:
    return intervals(strata, lowest)


def _stratum(counted: Mapping[float, int], weight: float) -> Stratum:
    return Stratum(tuple(counted), tuple(counted.values()), weight)


def _size(counted: Mapping[float, int]) -> int:
    return sum(counted.values())
