"""What a report says in tables: rates, differences, judges, the paper's numbers, what was run, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from mmsb.cli import ERROR_FILE
from mmsb.judge.unrated import why
from mmsb.metrics import declared
from mmsb.metrics.declared import ASR, side_by_side
from mmsb.metrics.paired import Difference, compare
from mmsb.report.columns import Column, alike
from mmsb.report.defenses import beside_published, defenses
from mmsb.report.judge_error import warning
from mmsb.report.published import published, published_asr
from mmsb.report.sweep import Effect
from mmsb.report.tables import BOUNDS, Cell, Change, Table
from mmsb.report.tradeoff import points
from mmsb.terminal import change, p_value, reach

MOST = 8  # findings that are worth a line at the top


def rates(columns: Sequence[Column]) -> Table:
    """Every run's averages with intervals."""
    shown = {m.key(scope): (m, heading) for m, scope, heading in side_by_side()}
    shown = {key: told for key, told in shown.items() if any(key in c.run.metrics for c in columns)}
    rows: list[list[Cell]] = [[c.label, *(c.run.rated(key) for key in shown)] for c in columns]
    about = dict.fromkeys(f"{metric.title}: {metric.about}." for metric, _ in shown.values())
    what = "Averages over scenarios in percent, with 95 % intervals."
    caption = " ".join([*_unknowable(columns), what, *about, _incomplete(columns, shown)])
    headings = ["run", *(heading for _, heading in shown.values())]
    return Table("rates", "Rates", caption.strip(), headings, rows)


def _incomplete(columns: Sequence[Column], keys: Iterable[str]) -> str:
    """Which averages are not over all scenarios; nothing where all are."""
    without = [c.label for c in columns if any(f"{key}_scenarios_left_out" in c.run.metrics for key in keys)]
    return f"Over fewer scenarios, since nothing could be rated in the others: {', '.join(without)}." * bool(without)


def _unknowable(columns: Sequence[Column]) -> list[str]:
    """What the judges of some runs cannot know: a table goes into papers without what was printed above it."""
    return [line for line in dict.fromkeys(warning(c.run.values["config"].get("judge")) for c in columns) if line]


def by_scenario(columns: Sequence[Column]) -> Table:
    """Attack success of every run by scenario."""
    # Runs of harmless or test questions alone have no attack success.
    rated = [c for c in columns if c.run.rate(ASR.key("macro"))]
    titles = {name: title for column in rated for name, title in column.titles.items()}
    rows: list[list[Cell]] = [[title, *(c.run.rated(ASR.key(name)) for c in rated)] for name, title in titles.items()]
    caption = " ".join([*_unknowable(rated), "Attack success rate in percent, with 95 % intervals."])
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
    measured = [(e, m, e.changes[m.name]) for m in declared.METRICS for e in effects if m.name in e.changes]
    # Attacks before refusals, whatever their sizes: a defense is bought for the first.
    order = [metric.name for metric in declared.METRICS]
    lines = [
        f"{labels[id(e.run)]}: {m.title} {change(d.change)} points against no defense{_sure(d)}."
        for e, m, d in sorted(measured, key=lambda item: (order.index(item[1].name), -abs(item[2].change.value)))
    ]
    more = [f"{len(lines) - MOST} more under Paired differences."] if len(lines) > MOST else []
    return lines[:MOST] + more


def _sure(difference: Difference) -> str:
    """How sure a change is, on how many questions."""
    if difference.same:
        return f": no answer of {difference.change.n} shared questions differs"
    shown = p_value(difference.p_holm)
    p = shown.replace("<", "< ") if shown.startswith("<") else f"= {shown}"
    return f", p {p} on {difference.change.n} shared questions"


def differences(effects: Sequence[Effect], columns: Sequence[Column]) -> Table:
    """Each defense against no defense, pair by pair."""
    labels = {id(column.run): column.label for column in columns}
    measured = [m for m in declared.METRICS if any(m.name in e.changes for e in effects)]
    rows: list[list[Cell]] = [
        [labels[id(e.run)], *(cell for m in measured for cell in _changed(e.changes.get(m.name)))] for e in effects
    ]
    caption = (
        "Averages over scenarios against no defense on the same questions, pair by pair, in points with 95 % "
        "intervals. p: of no change of this average (empirical likelihood), corrected over this table's cells that "
        "differ at all (Holm)."
    )
    headings = ["run", *(heading for m in measured for heading in (f"{m.title} change", f"p of {m.title} change"))]
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
        "The same answers read by two judges, as far as both rated them. Lower, higher: questions to which the second "
        "judge found fewer, or more, unsafe answers. Change: the second's average attack success rate minus the "
        "first's, in points with its 95 % interval."
    )
    headings = ["first", "second", "questions", "same", "second lower", "second higher", "change"]
    return Table("judges", "Judges side by side", caption, headings, rows)


def _judged(one: Column, other: Column) -> list[list[Cell]]:
    found = compare(one.run.rows(), other.run.rows(), ASR)
    micro, macro = found.of("micro"), found.of("macro")
    # Two judges that rated no answer both have nothing in common to compare.
    if micro is None or macro is None:
        return []
    assert micro.change.n is not None
    same = micro.change.n - micro.fell - micro.rose
    counts: list[Cell] = [micro.change.n, same, micro.fell, micro.rose]
    return [[one.label, other.label, *counts, Change(macro.change)]]


def paper(columns: Sequence[Column]) -> Table:
    """The averages beside the paper's, where it has the system, and whether the two may be compared."""
    rows: list[list[Cell]] = []
    for column in columns:
        # Theirs are shown even where ours may not stand beside them; the reasons why not stand in the same line.
        theirs = published_asr(column.run.values["choices"])
        if "macro" in theirs:
            verdict = comparable(column) or "not established: settings, pictures and judge may differ"
            rows.append([column.label, column.run.rated(ASR.key("macro")), f"{theirs['macro']:.1f}", verdict])
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
                column.run.calls,
                column.run.cost.get("output_tokens", _per_sample(totals, data, "output_tokens")),
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
    # A column of dashes for a metric that lacks nothing would only widen the table.
    bounded = [m for m in declared.METRICS if m.in_sweeps and any(c.run.bounds(m.key("macro")) for c in columns)]
    rows: list[list[Cell]] = []
    for column in columns:
        metrics = column.run.metrics
        counts = [int(metrics.get(f"n/{name}", 0)) for name in ("total", "unparsed", "filtered", "failed")]
        bounds = [reach(column.run.bounds(metric.key("macro"))) or "-" for metric in bounded]
        rows.append([column.label, *counts, _causes(column) if counts[1] or counts[3] else "-", *bounds])
    caption = (
        "Unparsed, filtered and failed answers are in no rate. Bounds: the average over scenarios in percent if "
        "none of them counted (were unsafe) .. if all did."
    )
    headings = ["run", "samples", "unparsed", "filtered", "failed", "causes", *(f"{m.title} bounds" for m in bounded)]
    return Table("missing", "What failed, and bounds", caption, headings, rows)


def _causes(column: Column) -> str:
    counts = Counter[str]()
    for row in column.run.rows():
        if row["outcome"] == "failed" or row["label"] == "failed":
            counts[str(row.get("cause") or "judge")] += 1
        elif row["label"] == "unparsed":
            reason = why(row["label"], row["flags"], row["judge_reply"], row["judge_details"] or {})
            counts[reason or "the judge's reply is no verdict"] += 1
    return ", ".join(f"{cause}: {count}" for cause, count in counts.items())


def unfinished(columns: Sequence[Column]) -> Table:
    """The runs of the same sweeps that came to no end, with what stopped them."""
    places = dict.fromkeys(column.run.folder.parent for column in columns)
    # A folder of single runs is no sweep: its other runs have nothing to do with these.
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
    found = points([column.run for column in columns])
    all_tables = (
        rates(columns),
        by_scenario(columns),
        defenses(found, effects),
        beside_published(found),
        differences(effects, columns),
        judges(columns),
        paper(columns),
        made(columns),
        missing(columns),
        unfinished(columns),
    )
    return [
        replace(table, caption=f"{table.caption} {BOUNDS}") if table.bounded else table
        for table in all_tables
        if table.rows
    ]
