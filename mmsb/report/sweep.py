"""A sweep's runs side by side, and each defense against no defense, pair by pair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from mmsb.compare import change, p_value
from mmsb.metrics.paired import Difference, compare, holm
from mmsb.metrics.rates import Rate
from mmsb.results import FILE, read_rows
from mmsb.terminal import LEFT, console

RATES = {
    "asr/macro": "ASR average",
    "asr/harm": "ASR harm",
    "asr/policy": "ASR policy",
    "refusal_rate/macro": "refusals",
    "false_refusal_rate/macro": "false refusals",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run as it lies on disk: its folder and its `run.json`."""

    folder: Path
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What tells it from the others of its sweep."""
        return str(self.values["name"])

    @property
    def metrics(self) -> Mapping[str, float]:
        """Its flat metrics."""
        metrics: Mapping[str, float] = self.values["metrics"]
        return metrics

    def rate(self, key: str) -> Rate | None:
        """A rate back from the flat metrics; None where the run has none."""
        if key not in self.metrics:
            return None
        return Rate(self.metrics[key], self.metrics[f"{key}_low"], self.metrics[f"{key}_high"], 0)

    @property
    def calls(self) -> float:
        """Calls of the model a sample."""
        record = self.values["record"]
        return float(record["totals"]["calls"] / record["dataset"]["samples"])


@dataclass(frozen=True, slots=True)
class Effect:
    """What a defense changed, against the same run without it."""

    run: Finished
    asr: Difference | None
    false_refusals: Difference | None


def finished_runs(folder: Path) -> list[Finished]:
    """The finished runs of a sweep, in its order."""
    paths = sorted(folder.glob("*/run.json"), key=lambda path: int(path.parent.name))
    return [Finished(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def print_comparison(runs: Sequence[Finished]) -> None:
    """The runs' rates, one line a run."""
    keys = [key for key in RATES if any(key in run.metrics for run in runs)]
    table = Table(title=f"Sweep of {len(runs)} runs: % [95 %]", title_style="bold", **LEFT)
    headings, labels = told_apart([run.name for run in runs])
    for heading in headings:
        table.add_column(escape(heading))
    for heading in (*(RATES[key] for key in keys), "calls", "not rated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run, label in zip(runs, labels, strict=True):
        not_rated = run.metrics["n/total"] - run.metrics["n/answered"] + run.metrics["n/unparsed"]
        cells = [short(run.rate(key)) for key in keys]
        table.add_row(*map(escape, label), *cells, f"{run.calls:.2g}", f"{not_rated:.0f}")
    console().print(table)


def told_apart(names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The runs' names as headings and rows: a column a key where all are made of the same keys, else one column."""
    parts = [[item.partition("=") for item in name.split(" ")] for name in names]
    keys = [key for key, _, _ in parts[0]]
    if all([key for key, equals, _ in part if equals] == keys for part in parts):
        return keys, [[value for _, _, value in part] for part in parts]
    return ["run"], [[name] for name in names]


def print_effects(effects: Sequence[Effect]) -> None:
    """Each defense's effect; nothing where the sweep has no pair of runs with and without one."""
    if not effects:
        return
    caption = (
        "Same questions, pair by pair, in points. p: exact McNemar on all answers, corrected over this table (Holm)."
    )
    table = Table(title="Against no defense", caption=caption, title_style="bold", **LEFT)
    measures = {"ASR": [e.asr for e in effects], "false-refusal": [e.false_refusals for e in effects]}
    measured = {name: found for name, found in measures.items() if any(found)}
    headings, labels = told_apart([effect.run.name for effect in effects])
    for heading in headings:
        table.add_column(escape(heading))
    for name in measured:
        table.add_column(f"{name} change [95 %]", justify="right")
        table.add_column("p", justify="right")
    for label, *found in zip(labels, *measured.values(), strict=True):
        table.add_row(*map(escape, label), *(text for difference in found for text in _cells(difference)))
    console().print(table)


def effects(runs: Sequence[Finished]) -> list[Effect]:
    """Every run with a defense against the run that differs from it in the defense alone."""
    found = []
    for run in runs:
        baseline = next((other for other in runs if _is_baseline(other, run)), None)
        if baseline is not None:
            found.append(Effect(run, _change(baseline, run, "unsafe"), _change(baseline, run, "refusal")))
    return _corrected(found)


def _is_baseline(other: Finished, run: Finished) -> bool:
    def rest(finished: Finished) -> dict[str, Any]:
        return {
            key: value for key, value in finished.values["config"].items() if key not in ("defense", "defense_text")
        }

    undefended = list(other.values["config"]["defense"]) == ["none"]
    return undefended and other is not run and rest(other) == rest(run)


def _change(baseline: Finished, run: Finished, field: str) -> Difference | None:
    """The macro change with the micro test; attack success on harmful questions, refusals on benign ones."""
    benign = field == "refusal"
    first, second = (
        [row for row in read_rows(finished.folder / FILE) if row["benign"] == benign] for finished in (baseline, run)
    )
    differences = {d.scope: d for d in compare(first, second, field)}
    if not differences:
        return None
    return replace(differences["macro"], p=differences["micro"].p)


def _corrected(found: Sequence[Effect]) -> list[Effect]:
    tests = iter(holm([d for effect in found for d in (effect.asr, effect.false_refusals) if d is not None]))
    return [
        replace(
            effect,
            asr=next(tests) if effect.asr else None,
            false_refusals=next(tests) if effect.false_refusals else None,
        )
        for effect in found
    ]


def _cells(difference: Difference | None) -> tuple[str, str]:
    return (change(difference.change), p_value(difference.p_holm)) if difference else ("-", "-")


def short(rate: Rate | None) -> str:
    """A rate for a crowded table: 41.0 [38, 44], in percent; a dash where there is none."""
    return f"{100 * rate.value:.1f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]" if rate else "-"
