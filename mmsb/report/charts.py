"""The charts of a report, each one declared once (Vega-Lite through Altair) and written as SVG, PNG and PDF alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmsb.metrics.declared import ASR
from mmsb.report.columns import Column
from mmsb.report.drawing import INK, LINE, colour, data, distinct, library, percent, rated, shape, styled
from mmsb.report.sweep import Effect

FEW, WIDE, STEP = 6, 440, 22  # systems that colours tell apart; pixels; pixels a line
PERCENT = "attack success, % (lower is safer)"
RINGS = (25, 50, 75, 100)


def headline(columns: Sequence[Column]) -> Any:
    """Attack success by image mode and system, with intervals; None where no run has harmful questions."""
    values = [_about(c) | rated(rate) for c in columns if (rate := c.run.rate(ASR.key("macro")))]
    if not values:
        return None
    modes, systems = distinct(values, "mode"), distinct(values, "who")
    # Above, colours tell nothing apart any more: systems become lines, and modes, at most four, the colours.
    if len(systems) <= FEW:
        return _dots(values, "mode", modes, "who", systems)
    return _dots(values, "who", systems, "mode", modes)


def _dots(values: Sequence[Any], line: str, lines: Sequence[str], told: str, colours: Sequence[str]) -> Any:
    """Dots with intervals: a line for each of `lines`, within it one dot for each colour."""
    alt = library()
    base = alt.Chart(data(values)).encode(
        y=alt.Y(f"{line}:N", sort=list(lines), title=None),
        yOffset=alt.YOffset(f"{told}:N", sort=list(colours)),
        color=colour(told, colours),
    )
    ranges = base.mark_rule(strokeWidth=2).encode(x=percent("low", PERCENT), x2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q", shape=shape(told, colours))
    height = alt.Step(max(STEP, 13 * len(colours) + 8), **{"for": "position"})
    return styled((ranges + points).properties(width=WIDE, height=height))


def heat_map(columns: Sequence[Column]) -> Any:
    """Attack success by scenario and run."""
    alt = library()
    titles = _titles(columns)
    values = [
        _about(c) | {"scenario": title, "value": 100 * rate.value}
        for c in columns
        for name, title in titles.items()
        if (rate := c.run.rate(ASR.key(name)))
    ]
    if not values:
        return None
    # Where two runs share system and mode (two datasets, say) one would hide the other.
    one_each = len({(v["who"], v["mode"]) for v in values}) == len({v["label"] for v in values})
    across = "mode" if one_each else "label"
    base = alt.Chart(data(values)).encode(
        x=alt.X(f"{across}:N", sort=distinct(values, across), title=None, axis=alt.Axis(orient="top", labelAngle=-35)),
        y=alt.Y("scenario:N", sort=list(titles.values()), title=None),
    )
    scale = alt.Scale(scheme="yelloworangered", domain=[0, 100])
    cells = base.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=None))  # the cells hold numbers
    # From there on white has more contrast than black on this scheme's reds (4.6 of either at the change).
    dark = alt.condition("datum.value > 73", alt.value("white"), alt.value("black"))
    chart = (cells + base.mark_text(fontSize=10).encode(text=alt.Text("value:Q", format=".0f"), color=dark)).properties(
        width=alt.Step(46), height=alt.Step(STEP)
    )
    systems = distinct(values, "who")
    if one_each and len(systems) > 1:
        facet = alt.Facet("who:N", sort=systems, title=None, header=alt.Header(orient="bottom"))
        chart = chart.facet(facet, columns=3, spacing=20)
    return styled(chart.properties(title=_of_all()))


def radar(columns: Sequence[Column]) -> Any:
    """The paper's radar: attack success on an axis for each scenario, a line for each image mode, a panel a system."""
    # Runs of test questions have scenarios of their own, in which nothing is attacked: axes without a point.
    rated = [c for c in columns if c.run.rate(ASR.key("macro"))]
    titles = _titles(rated)
    # Two axes enclose no area.
    if len(titles) < 3 or not rated:
        return None
    alt = library()
    modes = list(dict.fromkeys(c.facets["image_mode"] for c in rated))
    panels = []
    for who in dict.fromkeys(c.who for c in rated):
        shown = [c for c in rated if c.who == who]
        panels.append(_web(titles) + _polygons(shown, titles, modes).properties(title=who, width=300, height=232))
    return styled(alt.concat(*panels, columns=2, title=_of_all()))


def _web(titles: Mapping[str, str]) -> Any:
    """The rings with their percent, and the scenarios' names around them."""
    alt = library()
    rings = [_at(n, len(titles), ring) | {"ring": ring, "n": n} for ring in RINGS for n in range(len(titles))]
    # Halfway between the last axis and the first, where a ring is nearer to the middle and no line has its point.
    halfway = [_at(-0.5, len(titles), ring * math.cos(math.pi / len(titles))) | {"ring": ring} for ring in RINGS]
    names = [_at(n, len(titles), 112) | {"title": _short(title)} for n, title in enumerate(titles.values())]
    # Vega has no polar coordinates: points of the circle are computed, and joined by closed lines.
    lines = alt.Chart(data(rings)).mark_line(interpolate="linear-closed", color=LINE, strokeWidth=1)
    side = alt.ExprRef("datum.x > 9 ? 'left' : datum.x < -9 ? 'right' : 'center'")
    words = alt.Chart(data(names)).mark_text(fontSize=9, align=side).encode(_x(), _y(), text="title:N")
    marks = alt.Chart(data(halfway)).mark_text(fontSize=8).encode(_x(), _y(), text="ring:N")
    return lines.encode(_x(), _y(), order="n:O", detail="ring:N") + words + marks


def _polygons(columns: Sequence[Column], titles: Mapping[str, str], modes: Sequence[str]) -> Any:
    alt = library()
    values = [
        _about(column) | _at(n, len(titles), 100 * rate.value) | {"n": n}
        for column in columns
        for n, name in enumerate(titles)
        if (rate := column.run.rate(ASR.key(name)))
    ]
    lines = alt.Chart(data(values)).mark_line(
        interpolate="linear-closed", strokeWidth=2, strokeJoin="round", point={"size": 18}
    )
    return lines.encode(_x(), _y(), order="n:O", detail="label:N", color=colour("mode", modes))


def differences(effects: Sequence[Effect], columns: Sequence[Column]) -> Any:
    """Each defense against none on the same questions, in points; left of the line, fewer attacks succeed."""
    alt = library()
    by_run = {id(column.run): column for column in columns}
    changed = [(e.run, e.changes[ASR.name]) for e in effects if ASR.name in e.changes]
    found = [(by_run[id(run)], difference) for run, difference in changed if id(run) in by_run]
    values = [_about(column) | rated(difference.change) for column, difference in found]
    if not values:
        return None
    systems, modes = distinct(values, "who"), distinct(values, "mode")
    base = alt.Chart(data(values)).encode(
        y=alt.Y("who:N", sort=systems, title=None),
        yOffset=alt.YOffset("mode:N", sort=modes),
        color=colour("mode", modes),
    )
    axis = alt.X("low:Q", title="change of attack success, points (left is safer)", axis=alt.Axis(tickCount=8))
    ranges = base.mark_rule(strokeWidth=2).encode(x=axis, x2="high:Q")
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q", shape=shape("mode", modes))
    zero = alt.Chart(data([{"zero": 0}])).mark_rule(color=INK, strokeDash=[3, 3]).encode(x="zero:Q")
    height = alt.Step(13 * len(modes) + 8, **{"for": "position"})
    return styled((zero + ranges + dots).properties(width=WIDE, height=height))


def _about(column: Column) -> dict[str, Any]:
    return {"label": column.label, "who": column.who, "mode": column.facets["image_mode"]}


def _titles(columns: Sequence[Column]) -> dict[str, str]:
    return {name: title for column in columns for name, title in column.titles.items()}


def _short(title: str) -> str:
    return title if len(title) < 14 else title.split(" ")[0]


def _of_all() -> Any:
    """What a figure shows whose numbers have no axis to say it."""
    return library().TitleParams("attack success, %", anchor="start", fontSize=11)


def _at(number: float, total: int, radius: float) -> dict[str, float]:
    """A point of the radar; the first axis points up, the next follow clockwise."""
    angle = 2 * math.pi * number / total
    return {"x": radius * math.sin(angle), "y": radius * math.cos(angle)}


def _x() -> Any:
    alt = library()
    return alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-175, 175]))


def _y() -> Any:
    alt = library()
    return alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-125, 125]))
