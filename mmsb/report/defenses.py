"""The trade-off of defenses as tables of the report: what each brings and costs, and what is published of it."""

from __future__ import annotations

from collections.abc import Sequence

from mmsb.metrics.declared import ASR, SCOPES
from mmsb.report.published import published_defended
from mmsb.report.sweep import Effect
from mmsb.report.tables import Cell, Table
from mmsb.report.tradeoff import COSTS, HEADINGS, PRICE, RATES, Point, measured, p_of, prices


def defenses(found: Sequence[Point], changes: Sequence[Effect]) -> Table:
    """Each defense's rates, the tests against no defense, and its price a sample."""
    # Only what a run of the sweep measured: without harmless twins there is no column of false refusals.
    sides = measured(found)
    rows: list[list[Cell]] = []
    for point in found:
        cells: list[Cell] = [point.defense, point.setting or "-"]
        for metric, side in sides:
            run = getattr(point, side)
            cells += [run and run.rated(metric.key("macro")), p_of(run, metric, changes) if run else ""]
        # Four places: a hundredth of a cent a sample still tells two defenses apart over 5,040 of them.
        rows.append([*cells, *(None if value is None else round(value, 4) for value in prices(point))])
    headings = ["defense", "setting", *(text for metric, _ in sides for text in (HEADINGS[metric.name], "p")), *PRICE]
    return Table("defenses", "Defenses", f"{RATES} {COSTS}", headings, rows)


def beside_published(found: Sequence[Point]) -> Table:
    """What is published of the same systems behind the same defenses, beside ours."""
    rows: list[list[Cell]] = [
        [
            point.defense,
            point.setting or "-",
            SCOPES.get(one.scope, one.scope.replace("_", " ")),
            one.shown,
            point.harmful.rated(ASR.key(one.scope)),
            one.source,
        ]
        for point in found
        for one in published_defended(point.harmful.values["choices"])
    ]
    caption = "Attack success, %. Other judges than ours: compare changes within a source."
    headings = ["defense", "setting", "scenario", "published", "ours", "source"]
    return Table("published_defenses", "Published beside ours", caption, headings, rows)
