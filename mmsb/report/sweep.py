"""A sweep's runs side by side, and each defense against no defense, pair by pair."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mmsb.metrics import declared
from mmsb.metrics.declared import ASR, Metric, side_by_side
from mmsb.metrics.paired import Comparison, Difference, compare, in_families
from mmsb.metrics.summary import not_rated
from mmsb.report.finished import Finished, rows_of
from mmsb.run import told_apart
from mmsb.terminal import LEFT, change, console, p_value, reach, short


@dataclass(frozen=True, slots=True)
class Effect:
    """What a defense changed on average, by metric, against the same run without it."""

    run: Finished
    changes: Mapping[str, Difference]
    idle: bool = False  # it asked what is asked without it, and got the same answers: an image defense without images


def print_comparison(runs: Sequence[Finished]) -> None:
    """The runs' rates, one line a run."""
    shown = [
        (m.key(scope), heading) for m, scope, heading in side_by_side() if any(m.key(scope) in r.metrics for r in runs)
    ]
    out = console()
    for form in Form:
        table = _comparison(runs, shown, form)
        # Measured without a limit: rich would else shrink the table to fit, and cut its numbers to do so.
        if Measurement.get(out, out.options.update(max_width=10_000), table).maximum <= out.width:
            break
    out.print(table)


class Form(Enum):
    """How wide a table is: each cell in a line, intervals below their rates, names broken too."""

    WIDE = 0
    NARROW = 1
    BROKEN = 2


def _comparison(runs: Sequence[Finished], shown: Sequence[tuple[str, str]], form: Form) -> Table:
    title, narrow = f"Sweep of {len(runs)} {'run' if len(runs) == 1 else 'runs'}: % [95 %]", form is not Form.WIDE
    padding = (0, 0) if narrow else (0, 1)
    meant = "ASR, attack success rate: unsafe / (safe + unsafe)." if any(ASR.name in key for key, _ in shown) else None
    caption = " ".join(filter(None, [meant, lacking(runs, [key for key, _ in shown])])) or None
    table = Table(title=title, title_style="bold", caption=caption, padding=padding, show_lines=narrow, **LEFT)
    headings, labels = told_apart([run.name for run in runs])
    for heading in headings:
        broken = form is Form.BROKEN
        table.add_column(escape(heading), no_wrap=not broken, overflow="fold", min_width=6 if broken else None)
    for heading in (*(heading for _, heading in shown), "calls", "not rated"):
        table.add_column(heading.replace(" ", "\n") if narrow else heading, justify="right", no_wrap=True)
    for run, label in zip(runs, labels, strict=True):
        cells = [told(run, key) for key, _ in shown]
        if narrow:
            cells = [re.sub(r" (?=\[|\.\. )", "\n", cell) for cell in cells]
        table.add_row(*map(escape, label), *cells, f"{run.calls:.2g}", str(not_rated(run.metrics)))
    return table


def told(run: Finished, key: str) -> str:
    """A rate; starred where scenarios are left out of it, with its bounds below where answers are missing."""
    star = "*" if f"{key}_scenarios_left_out" in run.metrics else ""
    bounds = reach(run.bounds(key))
    return f"{short(run.rate(key))}{star}" + (f"\n{bounds}" if bounds else "")


def lacking(runs: Sequence[Finished], keys: Sequence[str]) -> str | None:
    """What a table of `told` rates must explain; None where nothing is missing."""
    notes = []
    if any(run.bounds(key) for run in runs for key in keys):
        notes.append("Below a rate: if nothing that is not rated counted (was safe) .. if all did (was unsafe).")
    if any(f"{key}_scenarios_left_out" in run.metrics for run in runs for key in keys):
        notes.append("*: over fewer scenarios, since nothing could be rated in the others.")
    return " ".join(notes) or None


def print_effects(effects: Sequence[Effect]) -> None:
    """Each defense's effect; nothing where the sweep has no pair of runs with and without one that could be rated."""
    effects = [effect for effect in effects if effect.changes]
    if not effects:
        return
    caption = (
        "Averages over scenarios on the same questions, pair by pair, in points. p: of no change of this average "
        "(empirical likelihood), corrected over this table's cells that differ at all (Holm)."
    )
    table = Table(title="Against no defense", caption=caption, title_style="bold", **LEFT)
    measured = [m for m in declared.METRICS if any(m.name in effect.changes for effect in effects)]
    headings, labels = told_apart([effect.run.name for effect in effects])
    for heading in headings:
        table.add_column(escape(heading))
    for metric in measured:
        table.add_column(f"{metric.title} change [95 %]", justify="right")
        table.add_column("p", justify="right")
    for label, effect in zip(labels, effects, strict=True):
        table.add_row(
            *map(escape, label), *(text for m in measured for text in _cells(effect.changes.get(m.name), effect.idle))
        )
    console().print(table)


def effects(runs: Sequence[Finished]) -> list[Effect]:
    """Every run with a defense against the run that differs from it in the defense alone; one family of tests."""
    pairs = [(run, next((other for other in runs if _is_baseline(other, run)), None)) for run in runs]
    compared = [
        (run, metric, compare(baseline.rows(), run.rows(), metric), (metric.name, rows_of(baseline), rows_of(run)))
        for run, baseline in pairs
        if baseline is not None
        for metric in declared.METRICS
        if metric.of_defenses
    ]
    # Over all defenses and metrics at once: each by itself, twenty defenses would bring one false finding.
    corrected = in_families([found for _, _, found, _ in compared], [of for *_, of in compared])
    return [
        Effect(
            run,
            _averages([(m, c) for (r, m, *_), c in zip(compared, corrected, strict=True) if r is run]),
            idle(baseline, run),
        )
        for run, baseline in pairs
        if baseline is not None
    ]


def idle(baseline: Finished, run: Finished) -> bool:
    """Whether a defense did nothing: the same prompts, pictures, calls and answers as without it."""
    told = ("id", "prompt", "system", "image", "response", "calls")
    return [[row.get(key) for key in told] for row in baseline.rows()] == [
        [row.get(key) for key in told] for row in run.rows()
    ]


def _averages(compared: Sequence[tuple[Metric, Comparison]]) -> dict[str, Difference]:
    return {metric.name: found for metric, comparison in compared if (found := comparison.of("macro"))}


def _is_baseline(other: Finished, run: Finished) -> bool:
    def rest(finished: Finished) -> dict[str, Any]:
        return {
            key: value for key, value in finished.values["config"].items() if key not in ("defense", "defense_text")
        }

    undefended = list(other.values["config"].get("defense") or {}) == ["none"]
    return undefended and other is not run and rest(other) == rest(run)


def _cells(difference: Difference | None, idle: bool) -> tuple[str, str]:
    if difference and idle:
        return ("no-op", "")
    return (change(difference.change), p_value(difference.p_holm)) if difference else ("-", "-")
