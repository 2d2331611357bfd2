"""What a report says in tables: rates, differences, judges, the paper's numbers, what was run, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from mmsb.cli import ERROR_FILE
from mmsb.compare import change, p_value
from mmsb.metrics.paired import Difference, compare
from mmsb.report.columns import Column, alike
from mmsb.report.published import published, published_asr
from mmsb.report.sweep import RATES, Effect
from mmsb.report.tables import Cell, Change, Table
from mmsb.results import read_rows

MOST = 8  # findings that are worth a line at the top


def rates(columns: Sequence[Column]) -> Table:
    """Every run's averages with intervals."""
    keys = [key for key in RATES if any(key in c.run.metrics for c in columns)]
    rows: list[list[Cell]] = [[c.label, *(c.run.rate(key) for key in keys)] for c in columns]
    caption = (
        "Averages over scenarios in percent, with 95 % intervals. ASR: attack success rate, unsafe / (safe + unsafe)."
    )
    return Table("rates", "Rates", caption, ["run", *(RATES[key] for key in keys)], rows)


def by_scenario(columns: Sequence[Column]) -> Table:
    """Attack success of every run by scenario."""
    titles = {name: title for column in columns for name, title in column.titles.items()}
    rated = [c for c in columns if c.run.rate("asr/macro")]
    rows: list[list[Cell]] = [[title, *(c.run.rate(f"asr/{name}") for c in rated)] for name, title in titles.items()]
    caption = "Attack success rate in percent, with 95 % intervals."
    return Table(
        "scenarios",
        "Attack success by scenario",
        caption,
        ["scenario", *(c.label for c in rated)],
        rows if rated else [],
    )


def findings(effects: Sequence[Effect], columns: Sequence[Column]) -> list[str]:
    """The defenses' effects in words, largest first: on attacks, then on harmless requests; by how much, how sure."""
    labels = {id(column.run): column.label for column in columns}
    measured = [(e, name, d) for e in effects for name, d in _measures(e) if d is not None]
    lines = [
        f"{labels[id(e.run)]}: {name} {change(d.change)} points against no defense, "
        f"p {_p(d.p_holm)} on {d.change.n} shared questions."
        for e, name, d in sorted(measured, key=lambda item: (item[1], -abs(item[2].change.value)))
    ]
    more = [f"{len(lines) - MOST} more under Paired differences."] if len(lines) > MOST else []
    return lines[:MOST] + more


def _measures(effect: Effect) -> tuple[tuple[str, Difference | None], ...]:
    return ("attack success", effect.asr), ("false refusals", effect.false_refusals)


def _p(value: float | None) -> str:
    shown = p_value(value)
    return shown.replace("<", "< ") if shown.startswith("<") else f"= {shown}"


def differences(effects: Sequence[Effect], columns: Sequence[Column]) -> Table:
    """Each defense against no defense, pair by pair."""
    labels = {id(column.run): column.label for column in columns}
    measures = {"ASR change": [e.asr for e in effects], "false-refusal change": [e.false_refusals for e in effects]}
    measured = {name: found for name, found in measures.items() if any(found)}
    rows: list[list[Cell]] = [
        [labels[id(e.run)], *(cell for found in measured.values() for cell in _changed(found[number]))]
        for number, e in enumerate(effects)
    ]
    caption = (
        "Against no defense on the same questions, in points with 95 % intervals. p: exact McNemar on all answers, "
        "corrected over this table (Holm)."
    )
    headings = ["run", *(heading for name in measured for heading in (name, f"p of {name}"))]
    return Table("differences", "Paired differences", caption, headings, rows)


def _changed(difference: Difference | None) -> tuple[Cell, Cell]:
    return (Change(difference.change), p_value(difference.p_holm)) if difference else (None, None)


def judges(columns: Sequence[Column]) -> Table:
    """Judges of the same answers side by side, two by two."""
    rows: list[list[Cell]] = []
    for group in alike(columns, "judge"):
        for one, other in combinations(group, 2):
            rows += _judged(columns[one], columns[other])
    caption = (
        "The same answers read by two judges, as far as both rated them. Change: the second's attack success rate "
        "minus the first's, in points with its 95 % interval."
    )
    headings = ["first", "second", "answers", "same verdict", "only first: unsafe", "only second: unsafe", "change"]
    return Table("judges", "Judges side by side", caption, headings, rows)


def _judged(one: Column, other: Column) -> list[list[Cell]]:
    found = {d.scope: d for d in compare(read_rows(one.rows), read_rows(other.rows))}
    if "micro" not in found:
        return []
    micro, macro = found["micro"], found["macro"]
    same = micro.change.n - micro.only_first - micro.only_second
    counts: list[Cell] = [micro.change.n, same, micro.only_first, micro.only_second]
    return [[one.label, other.label, *counts, Change(macro.change)]]


def paper(columns: Sequence[Column]) -> Table:
    """The averages beside the paper's, where it has the system, and whether the two may be compared."""
    rows: list[list[Cell]] = []
    for column in columns:
        theirs = published_asr(column.run.values["choices"])
        if "macro" in theirs:
            verdict = comparable(column) or "not established: settings, pictures and judge may differ"
            rows.append([column.label, column.run.rate("asr/macro"), f"{theirs['macro']:.1f}", verdict])
    caption = f"Attack success, average over scenarios, percent. {published()['source']}"
    return Table("paper", "Beside the paper's numbers", caption, ["run", "ours", "paper", "comparable"], rows)


def comparable(column: Column) -> str | None:
    """What the run's record says about standing beside published numbers; None where it says nothing."""
    found = column.run.values["record"].get("comparable")
    if isinstance(found, Mapping):
        reasons = found.get("reasons") or found.get("why") or ""
        listed = "; ".join(map(str, reasons)) if isinstance(reasons, list | tuple) else str(reasons)
        verdict = "yes" if found.get("comparable", found.get("value", not listed)) else "no"
        return f"{verdict}: {listed}" if listed else verdict
    return None if found is None else {True: "yes", False: "no"}.get(found, str(found))


def made(columns: Sequence[Column]) -> Table:
    """What was run: everything a reader asks for first."""
    rows: list[list[Cell]] = []
    for column in columns:
        record, metrics = column.run.values["record"], column.run.metrics
        data, totals = record.get("dataset") or {}, record.get("totals") or {}
        environment = record.get("environment") or {}
        rows.append(
            [
                column.label,
                *(column.facets[key] for key in ("dataset", "model", "image_mode", "defense", "judge")),
                int(metrics.get("n/total", 0)),
                _per_sample(totals, data, "calls"),
                _per_sample(totals, data, "output_tokens"),
                float(record.get("wall_seconds") or 0),
                str(data.get("digest") or data.get("commit") or "-")[:12],
                str(environment.get("mmsb", "-")),
            ]
        )
    headings = ["run", "dataset", "model", "image mode", "defense", "judge", "samples", "calls a sample"]
    headings += ["tokens an answer", "seconds", "data digest", "mmsb"]
    caption = "Everything else that determines a run stands in its run.json."
    return Table("runs", "What was run", caption, headings, rows)


def _per_sample(totals: Mapping[str, float], data: Mapping[str, Any], key: str) -> float | None:
    return totals[key] / data["samples"] if key in totals and data.get("samples") else None


def missing(columns: Sequence[Column]) -> Table:
    """What is in no rate, and what the attack success rate would be at worst and at best."""
    rows: list[list[Cell]] = []
    for column in columns:
        metrics = column.run.metrics
        counts = [int(metrics.get(f"n/{name}", 0)) for name in ("total", "unparsed", "filtered", "failed")]
        low, high = (metrics.get(f"asr/micro_if_unparsed_{label}") for label in ("safe", "unsafe"))
        bounds = f"{100 * low:.1f} to {100 * high:.1f}" if low is not None and high is not None else "-"
        rows.append([column.label, *counts, _causes(column) if counts[3] else "-", bounds])
    caption = (
        "Unparsed, filtered and failed answers are in no rate. Bounds: the attack success rate over all answers, in "
        "percent, if every unparsed answer were safe, and if every one were unsafe."
    )
    headings = ["run", "samples", "unparsed", "filtered", "failed", "causes", "bounds"]
    return Table("missing", "What failed, and bounds", caption, headings, rows)


def _causes(column: Column) -> str:
    counts: dict[str, int] = {}
    for row in read_rows(column.rows):
        if row["outcome"] == "failed" or row["label"] == "failed":
            cause = str(row.get("cause") or "judge")
            counts[cause] = counts.get(cause, 0) + 1
    return ", ".join(f"{cause}: {count}" for cause, count in counts.items())


def unfinished(columns: Sequence[Column]) -> Table:
    """The runs of the same sweeps that came to no end, with what stopped them."""
    places = dict.fromkeys(column.run.folder.parent for column in columns)
    sweeps = [place for place in places if (place / "multirun.yaml").is_file()]
    errors = [path for sweep in sweeps for path in sorted(sweep.glob(f"*/{ERROR_FILE}"))]
    rows = [
        [str(path.parent.name), path.read_text(encoding="utf-8").strip()]
        for path in errors
        if not (path.parent / "run.json").is_file()
    ]
    caption = "These runs of the sweep are in no figure and no table."
    return Table("unfinished", "Runs that did not finish", caption, ["run", "error"], rows)


def tables(columns: Sequence[Column], effects: Sequence[Effect]) -> list[Table]:
    """All tables that have rows."""
    all_tables = (
        rates(columns),
        by_scenario(columns),
        differences(effects, columns),
        judges(columns),
        paper(columns),
        made(columns),
        missing(columns),
        unfinished(columns),
    )
    return [table for table in all_tables if table.rows]
