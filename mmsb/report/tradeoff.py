"""What a defense costs and brings, as a point: false refusals on benign questions against attack success.

A point needs a run on harmful questions and one on benign questions that are alike in all but the dataset; a mixed
set brings both at once. A third run, on test questions, adds how many of them are still answered rightly. Better is
down (fewer attacks succeed) and left (fewer harmless requests are refused).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mmsb.metrics.declared import ACCURACY, ASR, FALSE_REFUSALS, SCOPES, Metric
from mmsb.metrics.rates import Rate
from mmsb.report.called import called
from mmsb.report.finished import Finished, rows_of
from mmsb.report.meaning import meaning
from mmsb.report.published import published_defended
from mmsb.report.ranking import print_ranking, rank
from mmsb.report.sweep import Effect, effects, lacking, print_comparison, print_effects, told
from mmsb.terminal import LEFT, console, p_value

RATES = (
    "Averages over scenarios, % [95 %]. p: of no change against no defense on the same questions (empirical "
    "likelihood), corrected over all cells that differ at all (Holm)."
)
COSTS = (
    "The mean of its runs, preparations shared out: calls of models (also those that failed), tokens in and out, "
    "seconds, and dollars where the price table knows every model."
)
HEADINGS = {ASR.name: "attack success", FALSE_REFUSALS.name: "false refusals", ACCURACY.name: "accuracy"}
PRICE = ("calls", "tokens", "s", "$")


@dataclass(frozen=True, slots=True)
class Point:
    """A defense in one setting (an image mode, a model): the harmful run and the benign one, each with its rate.

    Attributes:
        defense: their names, the outermost first, joined by " > ", and what tells it from another of these names.
        setting: what else tells the runs apart.
        harmful: the run on harmful questions.
        benign: the run on benign ones.
        asr: the attack success rate, on average over scenarios.
        false_refusals: likewise.
        test: the run on test questions, if there is one.
    """

    defense: str
    setting: str
    harmful: Finished
    benign: Finished
    asr: Rate
    false_refusals: Rate
    test: Finished | None = None

    @property
    def runs(self) -> list[Finished]:
        """Its runs, each once."""
        runs = {id(run): run for run in (self.harmful, self.benign, self.test) if run}
        return list(runs.values())


def points(runs: Sequence[Finished]) -> list[Point]:
    """All pairs of a harmful and a benign run that are alike in all but the dataset, in the runs' order."""
    found = []
    for run, (defense, setting) in zip(runs, called(runs), strict=True):
        # Itself first: a mixed set brings both rates, and needs no partner.
        alike = [other for other in (run, *runs) if _rest(other) == _rest(run)]
        # A test has refusals too; its questions are not those whose refusals are meant.
        benign = next((o for o in alike if not is_test(o) and o.rate(FALSE_REFUSALS.key("macro"))), run)
        asr, false_refusals = run.rate(ASR.key("macro")), benign.rate(FALSE_REFUSALS.key("macro"))
        if asr and false_refusals:
            test = next(filter(is_test, alike), None)
            found.append(Point(defense, setting, run, benign, asr, false_refusals, test))
    return found


def is_test(run: Finished) -> bool:
    """Whether its questions have known answers, even if none of what was said to them could be read."""
    return "n/tested" in run.metrics


def print_sweep(runs: Sequence[Finished]) -> None:
    """A finished sweep: runs that make points as defenses, all others side by side."""
    changes, found = effects(runs), points(runs)
    paired = {id(run) for point in found for run in point.runs}
    if alone := [run for run in runs if id(run) not in paired]:
        print_comparison(alone)
        print_effects([effect for effect in changes if id(effect.run) not in paired])
    if found:
        print_tradeoff(found, changes)
        print_published(found)
        for metric, side in ((ASR, "harmful"), (FALSE_REFUSALS, "benign")):
            print_ranking(metric.title, rank(distinct(found, side), metric))
    print_meaning(meaning(runs, changes))


def print_meaning(sentences: Sequence[str]) -> None:
    """What the tables mean, for who reads nothing else."""
    out = console()
    if sentences:
        out.print("What this means", style="bold", highlight=False)
    for sentence in sentences:
        out.print(Padding(Text(f"- {sentence}"), (0, 0)))


def distinct(found: Sequence[Point], side: str) -> list[tuple[str, Finished]]:
    """The runs of one side with their names; rows of the same bytes, such as "none" in each placement, once."""
    named: dict[object, tuple[str, Finished]] = {}
    for point in found:
        run: Finished = getattr(point, side)
        named.setdefault(rows_of(run), (f"{point.defense} {point.setting}".strip(), run))
    return list(named.values())


def print_tradeoff(found: Sequence[Point], changes: Sequence[Effect]) -> None:
    """Each defense's rates with their intervals and the paired tests against no defense; below, its price a sample."""
    sides = measured(found)
    runs = [run for point in found for run in point.runs]
    note = lacking(runs, [metric.key("macro") for metric, _ in sides])
    headings = [heading for metric, _ in sides for heading in (HEADINGS[metric.name], "p")]
    rates = _table("Defenses", " ".join(filter(None, [RATES, note])), found, headings)
    spent = _table("What they cost a sample", COSTS, found, PRICE)
    for point in found:
        names = [escape(name) for name in _names(point, found)]
        rates.add_row(
            *names, *(text for metric, side in sides for text in _side(getattr(point, side), metric, changes))
        )
        shown = zip(prices(point), ("1f", "0f", "2g", "2g"), strict=True)
        spent.add_row(*names, *(_shown(value, form) for value, form in shown))
    console().print(rates)
    console().print(spent)


def _table(title: str, caption: str, found: Sequence[Point], headings: Sequence[str]) -> Table:
    """A table whose numbers are never cut off: where it is too wide, it is the names that break."""
    table = Table(title=title, caption=caption, title_style="bold", **LEFT)
    for heading in ("defense", "setting")[: len(_names(found[0], found))]:
        table.add_column(heading, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _names(point: Point, found: Sequence[Point]) -> list[str]:
    """The defense, and what else tells the points apart."""
    return [point.defense, point.setting] if any(one.setting for one in found) else [point.defense]


def print_published(found: Sequence[Point]) -> None:
    """What is published of the same systems behind the same defenses, beside ours; nothing where nothing is."""
    figures = [(point, one) for point in found for one in published_defended(point.harmful.values["choices"])]
    if not figures:
        return
    sources = list(dict.fromkeys(one.source for _, one in figures))
    listed = " ".join(f"({number}) {source}" for number, source in enumerate(sources, 1))
    caption = f"Attack success, %. Other judges than ours: compare changes within a source. Sources: {listed}"
    table = Table(title="Published beside ours", caption=caption, title_style="bold", **LEFT)
    for heading in ("defense", "setting", "scenario", "published", "ours"):
        table.add_column(heading, justify="right" if heading in ("published", "ours") else "left", no_wrap=True)
    for point, one in figures:
        shown = f"{one.shown} ({sources.index(one.source) + 1})"
        scope = SCOPES.get(one.scope, one.scope)
        table.add_row(
            escape(point.defense), escape(point.setting), scope, shown, told(point.harmful, ASR.key(one.scope))
        )
    console().print(table)


def measured(found: Sequence[Point]) -> list[tuple[Metric, str]]:
    """What the points have, and which of their runs has it."""
    sides = [(ASR, "harmful"), (FALSE_REFUSALS, "benign"), (ACCURACY, "test")]
    return [(metric, side) for metric, side in sides if any(getattr(point, side) for point in found)]


def _side(run: Finished | None, metric: Metric, changes: Sequence[Effect]) -> tuple[str, str]:
    """A rate of one of a point's runs, and the p of its change."""
    if run is None:
        return "", ""
    return told(run, metric.key("macro")), p_of(run, metric, changes)


def _rest(run: Finished) -> dict[str, Any]:
    return {key: value for key, value in run.values["config"].items() if key != "dataset"} | {"made": run.defended}


def p_of(run: Finished, metric: Metric, changes: Sequence[Effect]) -> str:
    """The corrected p; "no-op" where the defense did nothing, which is no test."""
    effect = next((one for one in changes if one.run is run), None)
    difference = effect.changes.get(metric.name) if effect else None
    if effect and effect.idle:
        return "no-op"
    return p_value(difference.p_holm) if difference else ""


def prices(point: Point) -> list[float | None]:
    """Calls, tokens, seconds and dollars a sample, the mean of the runs; None where it is not known of one."""
    costs = [run.cost for run in point.runs]
    tokens = [_add(cost.get("input_tokens"), cost.get("output_tokens")) for cost in costs]
    calls, seconds, dollars = ([cost.get(name) for cost in costs] for name in ("calls", "seconds", "dollars"))
    return [_mean(values) for values in (calls, tokens, seconds, dollars)]


def _add(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # A mean over some of the runs would make the one with an unknown price look free.
    return sum(known) / len(known) if len(known) == len(values) else None


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, f".{form}")
