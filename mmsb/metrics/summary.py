"""A run in numbers: its rates by scenario and group with intervals, and what is missing from them.

The metrics are those of `mmsb.metrics.declared`. An answer whose verdict could not be parsed, that a provider's filter
kept back, or that failed is counted apart and is in no rate; beside a rate that lacks some stand its bounds, what it
would be if none of them counted and if all did. All repeats of a question are one observation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from mmsb.metrics import declared
from mmsb.metrics.declared import Metric
from mmsb.metrics.rates import Design, Rate, Weighting
from mmsb.metrics.score import LABELS
from mmsb.metrics.score import Score as Score
from mmsb.scenario import Scenario

Bounds = tuple[float, float]
AVERAGES: tuple[tuple[str, str, Weighting], ...] = (
    ("macro", "Average over scenarios (macro)", "macro"),
    ("micro", "All questions (micro)", "micro"),
)
GROUPS = (("harm", "Harm scenarios"), ("policy", "Policy scenarios"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the summary.

    Attributes:
        name: in flat metrics.
        title: in tables.
        rates: the rates it has, by metric.
        counts: its samples by label.
        bounds: by metric, where answers are missing: its rate if none of them counted (were unsafe), and if all did.
        left_out: by metric, the titles of the scenarios that an average leaves out because nothing there has a value.
    """

    name: str
    title: str
    rates: Mapping[str, Rate]
    counts: Mapping[str, int]
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """The scenarios' lines, then the groups', then the averages; and the same numbers as flat metrics."""

    scenarios: tuple[Line, ...]
    groups: tuple[Line, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Measured:
    """A metric's designs: of what is known, and with all that is missing counted as 0 and as 1."""

    metric: Metric
    known: Design
    none: Design
    all: Design
    lacking: frozenset[str]


def summarize(scores: Iterable[Score], scenarios: Sequence[Scenario]) -> Summary:
    """Rates, intervals, bounds and counts of a run.

    Args:
        scores: one per sample.
        scenarios: the run's scenarios; each gets a line, in their order.
    """
    by_scenario: dict[str, list[Score]] = {scenario.id: [] for scenario in scenarios}
    for score in scores:
        by_scenario[score.scenario].append(score)
    ordered = [score for some in by_scenario.values() for score in some]
    measured = [found for metric in declared.METRICS if (found := _measured(metric, ordered))]
    lines = tuple(_scenario_lines(scenarios, by_scenario, measured))
    average = partial(_average_line, by_scenario=by_scenario, measured=measured)
    groups = [
        average(name, title, "macro", members)
        for name, title in GROUPS
        if (members := [s for s in scenarios if s.group == name])
    ]
    groups += [average(name, title, weighting, scenarios) for name, title, weighting in AVERAGES]
    metrics = _metrics((*lines, *groups))
    if tested := sum(score.tested for score in ordered):
        metrics["n/tested"] = tested  # so that a test whose answers nobody could read is still known as one
    return Summary(lines, tuple(groups), metrics)


def _measured(metric: Metric, scores: Sequence[Score]) -> _Measured | None:
    """The metric of a run; None where it has none, or says nothing that others do not say."""
    known = metric.design(scores)
    if not known.strata or (metric.repeated and not _repeated(metric, scores)):
        return None
    # by scenario, so that a line shows bounds only where something is missing from it
    lacking = frozenset(score.scenario for score in scores if metric.lacks(score))
    return _Measured(metric, known, metric.filled(scores, 0.0), metric.filled(scores, 1.0), lacking)


def _repeated(metric: Metric, scores: Iterable[Score]) -> bool:
    seen: defaultdict[tuple[str, str], int] = defaultdict(int)
    for score in scores:
        seen[score.scenario, score.unit] += metric.counts(score) and not metric.lacks(score)
    return max(seen.values(), default=0) > 1


def _scenario_lines(
    scenarios: Sequence[Scenario], by_scenario: Mapping[str, Sequence[Score]], measured: Sequence[_Measured]
) -> Iterator[Line]:
    rates = {found.metric.name: found.known.each() for found in measured}
    for scenario in scenarios:
        yield Line(
            scenario.name,
            scenario.title,
            {name: by_id[scenario.id] for name, by_id in rates.items() if scenario.id in by_id},
            _counts(by_scenario[scenario.id]),
            _bounds(measured, {scenario.id}, "macro"),
        )


def _average_line(
    name: str,
    title: str,
    weighting: Weighting,
    members: Sequence[Scenario],
    *,
    by_scenario: Mapping[str, Sequence[Score]],
    measured: Sequence[_Measured],
) -> Line:
    # parts of one design: a group's rate and the average that holds it rest on the same questions
    ids = {scenario.id for scenario in members}
    rates = {found.metric.name: found.known.only(ids).rate(weighting) for found in measured}
    left_out = {found.metric.name: _left_out(found, members, by_scenario) for found in measured}
    return Line(
        name,
        title,
        {kind: rate for kind, rate in rates.items() if rate},
        _counts(score for scenario in members for score in by_scenario[scenario.id]),
        _bounds(measured, ids, weighting),
        {kind: titles for kind, titles in left_out.items() if titles},
    )


def _left_out(found: _Measured, members: Sequence[Scenario], by_scenario: Mapping[str, Sequence[Score]]) -> list[str]:
    """Scenarios of the metric without a value; one with benign questions only has no part in the ASR to begin with."""
    return [
        scenario.title
        for scenario in members
        # an average without one of its scenarios is of something else, however complete it looks
        if scenario.id not in found.known.strata and (scenario.id in found.lacking or not by_scenario[scenario.id])
    ]


def _bounds(measured: Iterable[_Measured], ids: set[str], weighting: Weighting) -> dict[str, Bounds]:
    bounds = {}
    for found in measured:
        if ids & found.lacking:
            least, most = (design.only(ids).value(weighting) for design in (found.none, found.all))
            if least is not None and most is not None:
                bounds[found.metric.name] = (least, most)
    return bounds


def _counts(scores: Iterable[Score]) -> dict[str, int]:
    labels = [score.label for score in scores]
    return {label: labels.count(label) for label in LABELS}


def _metrics(lines: Iterable[Line]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for line in lines:
        for kind, rate in line.rates.items():
            metrics |= flat(f"{kind}/{line.name}", rate, line.bounds.get(kind))
        for kind, titles in line.left_out.items():
            metrics[f"{kind}/{line.name}_scenarios_left_out"] = len(titles)
        if line.name == "micro":
            metrics |= _totals(line.counts)
    return metrics


def flat(key: str, rate: Rate, bounds: Bounds | None = None) -> dict[str, float]:
    """A rate as flat metrics."""
    ends = {key: rate.value, f"{key}_low": rate.low, f"{key}_high": rate.high}
    return ends | ({f"{key}_least": bounds[0], f"{key}_most": bounds[1]} if bounds else {})


def _totals(counts: Mapping[str, int]) -> dict[str, float]:
    return {
        "n/answered": counts["safe"] + counts["unsafe"] + counts["unparsed"],
        "n/unparsed": counts["unparsed"],
        "n/filtered": counts["filtered"],
        "n/failed": counts["failed"],
        "n/total": sum(counts.values()),
    }


def not_rated(metrics: Mapping[str, float]) -> int:
    """How many samples are in no rate, by a run's flat metrics."""
    return int(metrics["n/total"] - metrics["n/answered"] + metrics["n/unparsed"])
