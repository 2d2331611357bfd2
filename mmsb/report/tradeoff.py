"""What a defense costs and brings, as a point: false refusals on benign questions against attack success.

A point needs a run on harmful questions and one on benign questions that are alike in all but the dataset; a mixed
set brings both at once. Better is down (fewer attacks succeed) and left (fewer harmless requests are refused).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from mmsb.metrics.declared import ASR, FALSE_REFUSALS
from mmsb.metrics.rates import Rate
from mmsb.report.finished import Finished
from mmsb.report.published import published_defended_asr, published_defenses
from mmsb.report.ranking import print_ranking, rank
from mmsb.report.sweep import Effect, effects, lacking, print_comparison, print_effects, told
from mmsb.terminal import LEFT, console, p_value


@dataclass(frozen=True, slots=True)
class Point:
    """A defense in one setting (an image mode, a model): the harmful run and the benign one, each with its rate."""

    defense: str
    setting: str
    harmful: Finished
    benign: Finished
    asr: Rate
    false_refusals: Rate


def points(runs: Sequence[Finished]) -> list[Point]:
    """All pairs of a harmful and a benign run that are alike in all but the dataset, in the runs' order."""
    found = []
    for run in runs:
        benign = next(
            (other for other in (run, *runs) if _rest(other) == _rest(run) and other.rate(FALSE_REFUSALS.key("macro"))),
            run,
        )
        asr, false_refusals = run.rate(ASR.key("macro")), benign.rate(FALSE_REFUSALS.key("macro"))
        if asr and false_refusals:
            defense = "+".join(run.values["config"]["defense"])
            found.append(Point(defense, _setting(run, runs), run, benign, asr, false_refusals))
    return found


def print_sweep(runs: Sequence[Finished]) -> None:
    """A finished sweep: runs that make points as defenses, all others side by side."""
    changes, found = effects(runs), points(runs)
    paired = {id(run) for point in found for run in (point.harmful, point.benign)}
    if alone := [run for run in runs if id(run) not in paired]:
        print_comparison(alone)
        print_effects([effect for effect in changes if id(effect.run) not in paired])
    if found:
        print_tradeoff(found, changes)
        for metric, side in ((ASR, "harmful"), (FALSE_REFUSALS, "benign")):
            print_ranking(metric.title, rank(_distinct(found, side), metric))


def _distinct(found: Sequence[Point], side: str) -> list[tuple[str, Finished]]:
    """The runs of one side with their names; rows of the same bytes, such as "none" in each placement, once."""
    named: dict[object, tuple[str, Finished]] = {}
    for point in found:
        run: Finished = getattr(point, side)
        named.setdefault(run.values.get("results_digest", id(run)), (f"{point.defense} {point.setting}".strip(), run))
    return list(named.values())


def print_tradeoff(found: Sequence[Point], changes: Sequence[Effect]) -> None:
    """Each defense's two rates with their intervals, the paired tests against no defense, and its calls a sample."""
    caption = (
        "Averages over scenarios, % [95 %]. p: of no change against no defense on the same questions (empirical "
        "likelihood), corrected over all cells that differ at all (Holm). A sample, preparations shared out: calls of "
        "models, tokens in and out, seconds, and dollars where the price table knows every model."
    )
    notes = (
        lacking([p.harmful for p in found], [ASR.key("macro")]),
        lacking([p.benign for p in found], [FALSE_REFUSALS.key("macro")]),
    )
    known = [published_defended_asr(point.harmful.values["choices"]) for point in found]
    told_of = f"published: {published_defenses()['source']}" if any(rate is not None for rate in known) else None
    caption = " ".join(dict.fromkeys([caption, *filter(None, (*notes, told_of))]))
    table = Table(title="Defenses", caption=caption, title_style="bold", **LEFT)
    headings = ["attack success", "p", "false refusals", "p", "calls", "tokens", "s", "$"]
    headings += ["published"] if told_of else []
    for number, heading in enumerate(["defense", *(["setting"] if any(p.setting for p in found) else []), *headings]):
        table.add_column(heading, justify="right" if heading in headings and number else "left", no_wrap=True)
    for point, rate in zip(found, known, strict=True):
        names = [point.defense, point.setting] if any(p.setting for p in found) else [point.defense]
        asr = next((e for e in changes if e.run is point.harmful), None)
        refusals = next((e for e in changes if e.run is point.benign), None)
        table.add_row(
            *map(escape, names),
            told(point.harmful, ASR.key("macro")),
            _p(asr, ASR.name),
            told(point.benign, FALSE_REFUSALS.key("macro")),
            _p(refusals, FALSE_REFUSALS.name),
            *_price(point),
            *([f"{rate:.1f}" if rate is not None else ""] if told_of else []),
        )
    console().print(table)


def _rest(run: Finished) -> dict[str, Any]:
    return {key: value for key, value in run.values["config"].items() if key != "dataset"}


def _setting(run: Finished, runs: Sequence[Finished]) -> str:
    """What besides dataset and defense differs between the runs: the choices of other groups, the placement."""
    groups = sorted(set(run.values["choices"]) - {"dataset", "defense", "experiment", "prices"})
    told = [{**other.values["choices"], "placement": other.values["config"].get("defense_placement")} for other in runs]
    differing = [group for group in (*groups, "placement") if len({other.get(group) for other in told}) > 1]
    return ", ".join(str(told[list(runs).index(run)][group]) for group in differing)


def _p(effect: Effect | None, metric: str) -> str:
    """The corrected p; "no-op" where the defense did nothing, which is no test."""
    difference = effect.changes.get(metric) if effect else None
    if effect and effect.idle:
        return "no-op"
    return p_value(difference.p_holm) if difference else ""


def _price(point: Point) -> list[str]:
    """Calls, tokens, seconds and dollars a sample, the mean of both runs; a dash where it is not known."""
    costs = [run.cost for run in (point.harmful, point.benign)]
    tokens = [_add(cost.get("input_tokens"), cost.get("output_tokens")) for cost in costs]
    named = [[cost.get(name) for cost in costs] for name in ("calls", "seconds", "dollars")]
    calls, seconds, dollars = named
    if not costs[0]:
        calls = [point.harmful.calls, point.benign.calls]
    return [_mean(calls, ".1f"), _mean(tokens, ".0f"), _mean(seconds, ".2g"), _mean(dollars, ".2g")]


def _add(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return format(sum(known) / len(known), form) if len(known) == len(values) else "-"
