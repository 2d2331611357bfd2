"""What a defense costs and brings, as a point: false refusals on benign questions against attack success.

A point needs a run on harmful questions and one on benign questions that are alike in all but the dataset; a mixed
set brings both at once. Better is down (fewer attacks succeed) and left (fewer harmless requests are refused).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from mmsb.metrics.declared import ASR, FALSE_REFUSALS
from mmsb.metrics.paired import Difference
from mmsb.metrics.rates import Rate
from mmsb.report.finished import Finished
from mmsb.report.sweep import Effect, effects, lacking, print_comparison, print_effects, told
from mmsb.terminal import LEFT, console, p_value

FILE = "tradeoff.png"
MARKERS = "osD^vP*X"
PANEL, LEGEND, DPI = 4.5, 2.2, 150  # inches, inches, dots per inch


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
            defense = " > ".join(run.values["config"]["defense"])
            found.append(Point(defense, _setting(run, runs), run, benign, asr, false_refusals))
    return found


def print_sweep(runs: Sequence[Finished], folder: Path) -> None:
    """A finished sweep: runs that make points as defenses with their plot, all others side by side."""
    changes, found = effects(runs), points(runs)
    paired = {id(run) for point in found for run in (point.harmful, point.benign)}
    if alone := [run for run in runs if id(run) not in paired]:
        print_comparison(alone)
        print_effects([effect for effect in changes if id(effect.run) not in paired])
    if found:
        print_tradeoff(found, changes)
        print(f"plot: {draw_tradeoff(found, folder)}")


def print_tradeoff(found: Sequence[Point], changes: Sequence[Effect]) -> None:
    """Each defense's two rates with their intervals, the paired tests against no defense, and its calls a sample."""
    caption = (
        "Averages over scenarios, % [95 %]. p: of no change against no defense on the same questions (empirical "
        "likelihood), corrected over all cells that differ at all (Holm). calls: of the model, a sample."
    )
    notes = (
        lacking([p.harmful for p in found], [ASR.key("macro")]),
        lacking([p.benign for p in found], [FALSE_REFUSALS.key("macro")]),
    )
    caption = " ".join(dict.fromkeys([caption, *filter(None, notes)]))
    table = Table(title="Defenses", caption=caption, title_style="bold", **LEFT)
    headings = ["attack success", "p", "false refusals", "p", "calls"]
    for number, heading in enumerate(["defense", *(["setting"] if any(p.setting for p in found) else []), *headings]):
        table.add_column(heading, justify="right" if heading in headings and number else "left", no_wrap=True)
    for point in found:
        names = [point.defense, point.setting] if any(p.setting for p in found) else [point.defense]
        asr = next((e.changes.get(ASR.name) for e in changes if e.run is point.harmful), None)
        refusals = next((e.changes.get(FALSE_REFUSALS.name) for e in changes if e.run is point.benign), None)
        table.add_row(
            *map(escape, names),
            told(point.harmful, ASR.key("macro")),
            _p(asr),
            told(point.benign, FALSE_REFUSALS.key("macro")),
            _p(refusals),
            f"{(point.harmful.calls + point.benign.calls) / 2:.1f}",
        )
    console().print(table)


def draw_tradeoff(found: Sequence[Point], folder: Path) -> Path:
    """Draw the points into `folder`/tradeoff.png: a panel for each setting, a colour and a marker for each defense."""
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(point.setting for point in found))
    styles = _styles(found)
    figure = Figure(figsize=(PANEL * len(settings) + LEGEND, PANEL), layout="constrained")
    panels = figure.subplots(1, len(settings), sharex=True, sharey=True, squeeze=False)[0]
    shown: dict[str, Any] = {}
    for axes, setting in zip(panels, settings, strict=True):
        for point in (point for point in found if point.setting == setting):
            shown[point.defense] = axes.errorbar(
                100 * point.false_refusals.value,
                100 * point.asr.value,
                xerr=_arms(point.false_refusals),
                yerr=_arms(point.asr),
                elinewidth=0.8,
                capsize=2,
                linestyle="none",
                **styles[point.defense],
            )
        axes.set(xlabel="false refusals, %", xlim=(-4, 104), ylim=(-4, 104))
        axes.set_title(setting, fontsize="medium")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("attack success, %")
    figure.legend(shown.values(), shown, loc="outside right center", fontsize="small")
    figure.suptitle("Better is down and left; bars are 95 % intervals", fontsize="medium")
    path = folder / FILE
    figure.savefig(path, dpi=DPI)
    return path


def _rest(run: Finished) -> dict[str, Any]:
    return {key: value for key, value in run.values["config"].items() if key != "dataset"}


def _setting(run: Finished, runs: Sequence[Finished]) -> str:
    """What besides dataset and defense differs between the runs: the choices of other groups, the placement."""
    groups = sorted(set(run.values["choices"]) - {"dataset", "defense", "experiment"})
    told = [{**other.values["choices"], "placement": other.values["config"].get("defense_placement")} for other in runs]
    differing = [group for group in (*groups, "placement") if len({other.get(group) for other in told}) > 1]
    return ", ".join(str(told[list(runs).index(run)][group]) for group in differing)


def _styles(found: Sequence[Point]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each defense; none is black and lies on top."""
    from matplotlib import colormaps

    colours = list(colormaps["tab20"].colors)  # type: ignore[attr-defined]
    defenses = dict.fromkeys(point.defense for point in found if point.defense != "none")
    styles = {
        defense: {"color": colours[number % len(colours)], "marker": MARKERS[number % len(MARKERS)]}
        for number, defense in enumerate(defenses)
    }
    return {"none": {"color": "black", "marker": "o", "markerfacecolor": "none", "zorder": 3}, **styles}


def _arms(rate: Rate) -> list[list[float]]:
    """The two arms of an error bar, in percent."""
    return [[100 * (rate.value - rate.low)], [100 * (rate.high - rate.value)]]


def _p(difference: Difference | None) -> str:
    return p_value(difference.p_holm) if difference else ""
