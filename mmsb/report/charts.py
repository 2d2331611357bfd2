"""The charts of a report, each one declared once (Vega-Lite through Altair) and written as SVG, PNG and PDF alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsb.metrics.declared import ASR
from mmsb.metrics.rates import Rate
from mmsb.report.columns import Column
from mmsb.report.sweep import Effect
from mmsb.report.tradeoff import Point

if TYPE_CHECKING:
    import altair

INK, LINE, GROUND = "#1b1f24", "#d8dbdf", "#fefefe"  # the page puts its own colours for these three
PALETTE = ("#6f7680", "#0f86c8", "#d9720a", "#0b9a75", "#c8629c", "#a48a00", "#c0392b", "#7757c9", "#3fa7a3", "#8c5a3c")
FEW, WIDE, STEP = 6, 440, 22  # systems that colours tell apart; pixels; pixels a line
PERCENT = "attack success, % (lower is safer)"


def headline(columns: Sequence[Column]) -> Any:
    """Attack success by image mode and system, with intervals; None where no run has harmful questions."""
    values = [_about(c) | _rated(rate) for c in columns if (rate := c.run.rate(ASR.key("macro")))]
    if not values:
        return None
    modes, systems = _distinct(values, "mode"), _distinct(values, "who")
    if len(systems) <= FEW:
        return _dots(values, "mode", modes, "who", systems)
    return _dots(values, "who", systems, "mode", modes)


def _dots(values: Sequence[Any], line: str, lines: Sequence[str], told: str, colours: Sequence[str]) -> Any:
    """Dots with intervals: a line for each of `lines`, within it one dot for each colour."""
    alt = _altair()
    base = alt.Chart(_data(values)).encode(
        y=alt.Y(f"{line}:N", sort=list(lines), title=None),
        yOffset=alt.YOffset(f"{told}:N", sort=list(colours)),
        color=_colour(told, colours),
    )
    ranges = base.mark_rule(strokeWidth=2).encode(x=_percent("low", PERCENT), x2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q", shape=_shape(told, colours))
    height = alt.Step(max(STEP, 13 * len(colours) + 8), **{"for": "position"})
    return _styled((ranges + points).properties(width=WIDE, height=height))


def heat_map(columns: Sequence[Column]) -> Any:
    """Attack success by scenario and run."""
    alt = _altair()
    titles = _titles(columns)
    values = [
        _about(c) | {"scenario": title, "value": 100 * rate.value}
        for c in columns
        for name, title in titles.items()
        if (rate := c.run.rate(ASR.key(name)))
    ]
    if not values:
        return None
    one_each = len({(v["who"], v["mode"]) for v in values}) == len({v["label"] for v in values})
    across = "mode" if one_each else "label"
    base = alt.Chart(_data(values)).encode(
        x=alt.X(f"{across}:N", sort=_distinct(values, across), title=None, axis=alt.Axis(orient="top", labelAngle=-35)),
        y=alt.Y("scenario:N", sort=list(titles.values()), title=None),
    )
    scale = alt.Scale(scheme="yelloworangered", domain=[0, 100])
    cells = base.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=None))  # the cells hold numbers
    dark = alt.condition("datum.value > 62", alt.value("white"), alt.value("black"))
    chart = (cells + base.mark_text(fontSize=10).encode(text=alt.Text("value:Q", format=".0f"), color=dark)).properties(
        width=alt.Step(46), height=alt.Step(STEP)
    )
    systems = _distinct(values, "who")
    if one_each and len(systems) > 1:
        facet = alt.Facet("who:N", sort=systems, title=None, header=alt.Header(orient="bottom"))
        chart = chart.facet(facet, columns=3, spacing=20)
    return _styled(chart)


def radar(columns: Sequence[Column]) -> Any:
    """The paper's radar: attack success on an axis for each scenario, a line for each image mode, a panel a system."""
    titles = _titles(columns)
    rated = [c for c in columns if c.run.rate(ASR.key("macro"))]
    if len(titles) < 3 or not rated:
        return None
    alt = _altair()
    modes = list(dict.fromkeys(c.facets["image_mode"] for c in rated))
    panels = []
    for who in dict.fromkeys(c.who for c in rated):
        shown = [c for c in rated if c.who == who]
        panels.append(_web(titles) + _polygons(shown, titles, modes).properties(title=who, width=300, height=232))
    return _styled(alt.concat(*panels, columns=2))


def _web(titles: Mapping[str, str]) -> Any:
    """The rings at 25, 50, 75 and 100 %, and the scenarios' names around them."""
    alt = _altair()
    rings = [
        _at(n, len(titles), ring) | {"ring": ring, "n": n} for ring in (25, 50, 75, 100) for n in range(len(titles))
    ]
    names = [_at(n, len(titles), 112) | {"title": _short(title)} for n, title in enumerate(titles.values())]
    lines = alt.Chart(_data(rings)).mark_line(interpolate="linear-closed", color=LINE, strokeWidth=1)
    side = alt.ExprRef("datum.x > 9 ? 'left' : datum.x < -9 ? 'right' : 'center'")
    words = alt.Chart(_data(names)).mark_text(fontSize=9, align=side).encode(_x(), _y(), text="title:N")
    return lines.encode(_x(), _y(), order="n:O", detail="ring:N") + words


def _polygons(columns: Sequence[Column], titles: Mapping[str, str], modes: Sequence[str]) -> Any:
    alt = _altair()
    values = [
        _about(column) | _at(n, len(titles), 100 * rate.value) | {"n": n}
        for column in columns
        for n, name in enumerate(titles)
        if (rate := column.run.rate(ASR.key(name)))
    ]
    lines = alt.Chart(_data(values)).mark_line(interpolate="linear-closed", strokeWidth=2, point={"size": 18})
    return lines.encode(_x(), _y(), order="n:O", detail="label:N", color=_colour("mode", modes))


def tradeoff(points: Sequence[Point]) -> Any:
    """What each defense brings and costs: attack success against false refusals; a panel for each setting."""
    if not points:
        return None
    alt = _altair()
    values = [_point(point) for point in points]
    defenses = _distinct(values, "defense")
    base = alt.Chart(_data(values)).encode(color=_colour("defense", defenses))
    across = base.mark_rule().encode(x="left:Q", x2="right:Q", y="asr:Q")
    up = base.mark_rule().encode(x="refused:Q", y="low:Q", y2="high:Q")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=_percent("refused", "false refusals, %"),
        y=alt.Y("asr:Q", title="attack success, %", scale=alt.Scale(domain=[0, 100])),
        shape=_shape("defense", defenses),
    )
    chart = (across + up + dots).properties(width=260, height=260)
    settings = _distinct(values, "setting")
    if len(settings) > 1:
        chart = chart.facet(alt.Facet("setting:N", sort=settings, title=None), columns=3)
    return _styled(chart)


def _point(point: Point) -> dict[str, Any]:
    asr, refused = _rated(point.asr), _rated(point.false_refusals)
    sides = {"refused": refused["value"], "left": refused["low"], "right": refused["high"]}
    return {"defense": point.defense, "setting": point.setting, "asr": asr["value"], **asr, **sides}


def differences(effects: Sequence[Effect], columns: Sequence[Column]) -> Any:
    """Each defense against none on the same questions, in points; left of the line, fewer attacks succeed."""
    alt = _altair()
    by_run = {id(column.run): column for column in columns}
    changed = [(e.run, e.changes[ASR.name]) for e in effects if ASR.name in e.changes]
    found = [(by_run[id(run)], difference) for run, difference in changed if id(run) in by_run]
    values = [_about(column) | _rated(difference.change) for column, difference in found]
    if not values:
        return None
    systems, modes = _distinct(values, "who"), _distinct(values, "mode")
    base = alt.Chart(_data(values)).encode(
        y=alt.Y("who:N", sort=systems, title=None),
        yOffset=alt.YOffset("mode:N", sort=modes),
        color=_colour("mode", modes),
    )
    axis = alt.X("low:Q", title="change of attack success, points (left is safer)", axis=alt.Axis(tickCount=8))
    ranges = base.mark_rule(strokeWidth=2).encode(x=axis, x2="high:Q")
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q", shape=_shape("mode", modes))
    zero = alt.Chart(_data([{"zero": 0}])).mark_rule(color=INK, strokeDash=[3, 3]).encode(x="zero:Q")
    height = alt.Step(13 * len(modes) + 8, **{"for": "position"})
    return _styled((zero + ranges + dots).properties(width=WIDE, height=height))


def _altair() -> Any:
    import altair

    return altair


def _data(values: Sequence[Mapping[str, Any]]) -> altair.InlineData:
    return _altair().InlineData(values=list(values))  # type: ignore[no-any-return]


def _about(column: Column) -> dict[str, Any]:
    return {"label": column.label, "who": column.who, "mode": column.facets["image_mode"]}


def _rated(rate: Rate) -> dict[str, float]:
    return {"value": 100 * rate.value, "low": 100 * rate.low, "high": 100 * rate.high}


def _distinct(values: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(value[key] for value in values))


def _titles(columns: Sequence[Column]) -> dict[str, str]:
    return {name: title for column in columns for name, title in column.titles.items()}


def _short(title: str) -> str:
    return title if len(title) < 14 else title.split(" ")[0]


def _at(number: int, total: int, radius: float) -> dict[str, float]:
    """A point of the radar; the first axis points up, the next follow clockwise."""
    angle = 2 * math.pi * number / total
    return {"x": radius * math.sin(angle), "y": radius * math.cos(angle)}


def _x() -> Any:
    alt = _altair()
    return alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-175, 175]))


def _y() -> Any:
    alt = _altair()
    return alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-125, 125]))


def _percent(field: str, title: str) -> Any:
    alt = _altair()
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, 100]))


def _colour(field: str, order: Sequence[str]) -> Any:
    alt = _altair()
    colours = [PALETTE[n % len(PALETTE)] for n in range(len(order))]
    legend = alt.Legend(title=None, orient="top", columns=4, symbolOpacity=1) if len(order) > 1 else None
    return alt.Color(f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order), range=colours), legend=legend)


def _shape(field: str, order: Sequence[str]) -> Any:
    """Shapes tell apart what colours alone would not for everyone."""
    alt = _altair()
    legend = alt.Legend(title=None, orient="top", columns=4) if len(order) > 1 else None
    return alt.Shape(f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order)), legend=legend)


def _styled(chart: Any) -> Any:
    return (
        chart.configure(background=GROUND, font="Helvetica, Arial, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            domainColor=LINE,
            tickColor=LINE,
            gridColor=LINE,
            labelFontSize=11,
            labelLimit=260,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=INK, titleColor=INK, labelLimit=260, titleFontWeight="normal")
        .configure_header(labelColor=INK, titleColor=INK, labelFontSize=12, labelLimit=260)
        .configure_title(color=INK, fontSize=12, fontWeight="normal")
        .configure_text(color=INK)
    )
