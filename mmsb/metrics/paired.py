"""Two runs on the same questions, compared pair by pair. Far sharper than comparing two separate rates.

Answers are matched by scenario, question and repeat, whatever image mode, defense or model gave them. A question's
change is the mean of its pairs' changes; all else is as for rates, with values from -1 to 1.

Tests speak of what stands beside them: an average over scenarios is tested by the deviance of no change, whose p is
below 5 % exactly where the interval leaves 0 out; a scenario and the average over all questions by exact McNemar on
questions. Two families are corrected by Holm, each over all runs compared: the averages over all scenarios, and the
single scenarios. Cells in which no question differs (an image defense where no image is shown) are in none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmsb.errors import DataError
from mmsb.metrics.declared import Metric
from mmsb.metrics.rates import Design, Rate, Weighting, gathered
from mmsb.metrics.score import Score
from mmsb.metrics.significance import effective, holm, mcnemar_exact, smallest_difference
from mmsb.metrics.summary import Bounds

Row = Mapping[str, Any]
Key = tuple[str, str, str, int]  # scenario, observation, question, repeat
Value = float | str  # or why there is none

NOT_ASKED, OTHER_QUESTION = "not asked", "another question under the same id"


@dataclass(frozen=True, slots=True)
class Difference:
    """How a rate differs between two runs (second minus first) on the questions they share.

    Attributes:
        scope: a scenario's name, a group's, "macro" or "micro".
        first: the rate in the first run, on the shared questions.
        second: the rate in the second run.
        change: second minus first in [-1, 1], with its 95 % interval; its n counts questions.
        fell: questions whose rate fell; likewise `rose`.
        p: of no change.
        p_holm: the same, corrected over its family; None for what is in no family.
        detectable: the smallest change that questions which change as much as these show with 80 % power at 5 %.
        bounds: the change if what could not be matched for want of a verdict went all one way, and all the other.
    """

    scope: str
    first: float
    second: float
    change: Rate
    fell: int
    rose: int
    p: float
    p_holm: float | None = None
    detectable: float | None = None
    bounds: Bounds | None = None

    @property
    def same(self) -> bool:
        """Whether no question differs: such a cell can never reject, and counts in no family."""
        return self.fell == self.rose == 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared.

    Attributes:
        differences: one per shared scenario, then groups, then macro and micro; empty where no pair is shared.
        pairs: how many answers were matched.
        dropped: how many were not, by reason.
        left_out: the scenarios in which none was.
    """

    differences: tuple[Difference, ...]
    pairs: int
    dropped: Mapping[str, int]
    left_out: tuple[str, ...]

    def of(self, scope: str) -> Difference | None:
        """The difference of that scope."""
        return next((found for found in self.differences if found.scope == scope), None)


@dataclass(frozen=True, slots=True)
class _Designs:
    """The shared questions: both runs' values, their change, and the change at its least and most."""

    first: Design
    second: Design
    change: Design
    least: Design
    most: Design


def compare(
    first: Iterable[Row], second: Iterable[Row], metric: Metric, groups: Mapping[str, str] | None = None
) -> Comparison:
    """Compare two runs.

    Args:
        first: rows of the first run's results file.
        second: rows of the second's.
        metric: what is compared.
        groups: the group of each scenario, by its name.

    Raises:
        DataError: a run has two answers to the same repeat of a question.
    """
    (values, texts), (others, other_texts) = _values(first, metric, "first"), _values(second, metric, "second")
    keys = dict.fromkeys([*values, *others])
    # ids are reused, by hand or between datasets: a pair of two different questions would look like a change
    strangers = {key for key in keys if key in texts and texts[key] != other_texts.get(key, texts[key])}
    matched = {key: (values.get(key, NOT_ASKED), others.get(key, NOT_ASKED)) for key in keys if key not in strangers}
    dropped = Counter(reason for pair in matched.values() if (reason := _reason_of(pair)))
    pairs = len(matched) - dropped.total()
    dropped[OTHER_QUESTION] = len(strangers)
    # what one run was never asked is outside the comparison and its bounds: they are about answers that exist
    designs = _designs({key: pair for key, pair in matched.items() if NOT_ASKED not in pair}, metric)
    known = set(designs.change.strata)
    left_out = sorted({scenario for scenario, *_ in matched} - known)
    return Comparison(tuple(_differences(designs, groups or {})), pairs, dict(+dropped), tuple(left_out))


def _reason_of(pair: tuple[Value, Value]) -> str:
    """Why a pair is none; empty where it is one."""
    told = zip(pair, ("first", "second"), strict=True)
    return " and ".join(f"{value} in the {run}" for value, run in told if isinstance(value, str))


def in_families(comparisons: Sequence[Comparison], of: Sequence[object] | None = None) -> list[Comparison]:
    """The same comparisons with Holm's correction over each family, across all of them.

    Args:
        comparisons: all that are made at once.
        of: what each is of; those of the same answers, by the same metric, are one comparison that is shown again.
    """
    keys = list(range(len(comparisons))) if of is None else [of.index(one) for one in of]
    # a cell without a single change has p = 1 for certain: in the family it would only take power from the others
    tested = [(n, d) for n, found in enumerate(comparisons) if keys[n] == n for d in found.differences if not d.same]
    corrected: dict[tuple[int, str], float] = {}
    for family in (_averages, _scenarios):
        members = [(n, d) for n, d in tested if family(d)]
        for (n, d), p in zip(members, holm([d.p for _, d in members]), strict=True):
            corrected[n, d.scope] = p
    return [
        replace(found, differences=tuple(replace(d, p_holm=corrected.get((n, d.scope))) for d in found.differences))
        for n, found in zip(keys, comparisons, strict=True)
    ]


def _averages(difference: Difference) -> bool:
    return difference.scope == "macro"


def _scenarios(difference: Difference) -> bool:
    return difference.scope not in ("macro", "micro", "harm", "policy")


def _values(rows: Iterable[Row], metric: Metric, run: str) -> tuple[dict[Key, Value], dict[Key, str]]:
    """What the metric counts of a run (where a value is not known, the reason), and what was asked in plain words."""
    found: dict[Key, Value] = {}
    texts: dict[Key, str] = {}
    for row in rows:
        score = Score.of(row)
        if metric.counts(score):
            key = score.scenario, score.unit, score.question, int(row["repeat"])
            # two models' rows in one file: paired by id they would be mixed in silence
            if key in found:
                raise DataError(
                    f"the {run} run answers {score.scenario}/{score.question}/{row['repeat']} twice",
                    "Compare runs of one model each.",
                )
            value = metric.value(score)
            found[key] = _reason(score) if value is None else float(value)
            texts[key] = row["question"]
    return found, texts


def _reason(score: Score) -> str:
    return score.label if score.label not in ("safe", "unsafe") else "without a value"


def _designs(pairs: Mapping[Key, tuple[Value, Value]], metric: Metric) -> _Designs:
    """Repeats are combined run by run, so that a change is that of the rates which stand beside it."""
    broken = {key[:2] for key, pair in pairs.items() if metric.whole and _reason_of(pair)}
    known = {key: pair for key, pair in pairs.items() if not _reason_of(pair) and key[:2] not in broken}

    def of(some: Mapping[Key, tuple[Value, Value]], side: int, missing: float) -> Design:
        filled = (
            (*key[:2], missing if isinstance(pair[side], str) else float(pair[side])) for key, pair in some.items()
        )
        return gathered(filled, metric.combine)

    # both rates from pairs alone: else their difference would not be the change printed beside them
    first, second = of(known, 0, 0.0), of(known, 1, 0.0)
    return _Designs(
        first,
        second,
        _change(first, second),
        # the first filled with unsafe and the second with safe is the least change, the other way round the most
        _change(of(pairs, 0, 1.0), of(pairs, 1, 0.0)),
        _change(of(pairs, 0, 0.0), of(pairs, 1, 1.0)),
    )


def _change(first: Design, second: Design) -> Design:
    strata = {
        name: {question: second.strata[name][question] - value for question, value in values.items()}
        for name, values in first.strata.items()
    }
    return Design(strata, -1.0)


def _differences(designs: _Designs, groups: Mapping[str, str]) -> Iterator[Difference]:
    names = sorted(designs.change.strata)
    if not names:
        return
    for name, rate in sorted(designs.change.each().items()):
        yield _difference(name, designs, {name}, "micro", rate)
    for group in ("harm", "policy"):
        members = {name for name in designs.least.strata if groups.get(name) == group}
        if members.intersection(names):
            yield _difference(group, designs, members, "macro")
    yield _difference("macro", designs, set(designs.least.strata), "macro")
    yield _difference("micro", designs, set(designs.least.strata), "micro")


def _difference(
    scope: str, designs: _Designs, names: set[str], weighting: Weighting, rate: Rate | None = None
) -> Difference:
    change = designs.change.only(names)
    first, second, least, most = (
        design.only(names).value(weighting) or 0.0
        for design in (designs.first, designs.second, designs.least, designs.most)
    )
    values = [value for questions in change.strata.values() for value in questions.values()]
    fell, rose = sum(value < 0 for value in values), sum(value > 0 for value in values)
    sizes = [len(questions) for questions in change.strata.values()]
    rate = rate or change.rate(weighting)
    assert rate is not None  # there is a pair
    return Difference(
        scope,
        first,
        second,
        rate,
        fell,
        rose,
        # McNemar asks whether as many rose as fell of all questions, which is no question about macro
        mcnemar_exact(fell, rose) if weighting == "micro" else change.p(weighting),
        detectable=smallest_difference(
            len(values) if weighting == "micro" else effective(sizes), change.squares(weighting)
        ),
        bounds=(least, most) if least != most else None,
    )
