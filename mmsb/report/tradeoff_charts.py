"""The trade-off of defenses as charts: attack success against false refusals, against accuracy, against the price."""

from __future__ import annotations

import math
import string
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmsb.metrics.declared import ACCURACY
from mmsb.report.drawing import INK, colour, data, distinct, library, percent, rated, shape, styled
from mmsb.report.tradeoff import Point, prices

SIDE = 260  # pixels of a panel
CLOSE = 5.0  # pixels within which points cannot be told apart
LINE = 105  # letters of a line below the panels
UNITS = ("calls", "tokens", "seconds", "dollars")


def tradeoff(points: Sequence[Point]) -> Any:
    """Attack success against false refusals: better is down and left."""
    values = [_point(point) | _across(rated(point.false_refusals)) for point in points]
    return _panels(values, percent("x", "false refusals, %"), _linear)


def utility(points: Sequence[Point]) -> Any:
    """Attack success against the share of test questions answered rightly: better is down and right."""
    found = [(point, point.test and point.test.rate(ACCURACY.key("macro"))) for point in points]
    values = [_point(point) | _across(rated(rate)) for point, rate in found if rate]
    return _panels(values, percent("x", "test questions answered rightly, %"), _linear)


def price(points: Sequence[Point]) -> Any:
    """Attack success against what an answer costs, on a logarithmic axis: better is down and left.

    In dollars where they are known of all, else in tokens, seconds or calls; never in what is known of some only.
    """
    for number in (3, 1, 2, 0):
        spent = [prices(point)[number] for point in points]
        # A free run has no place on a logarithmic axis, and a missing price is not a price of 0.
        if spent and all(spent):
            alt = library()
            values = [_point(point) | {"x": value} for point, value in zip(points, spent, strict=True)]
            axis = alt.Axis(format="~g", tickCount=5)
            scale = alt.Scale(type="log", nice=False, padding=12)
            x = alt.X("x:Q", title=f"{UNITS[number]} a sample", scale=scale, axis=axis)
            return _panels(values, x, _logarithmic([value for value in spent if value]))
    return None


def _linear(percent: float) -> float:
    return percent / 100


def _logarithmic(values: Sequence[float]) -> Callable[[float], float]:
    span = math.log(max(values) / min(values)) or 1.0  # one value: all are in its place
    return lambda value: math.log(value / min(values)) / span


def piled(values: Sequence[Mapping[str, Any]], along: Callable[[float], float]) -> list[list[Mapping[str, Any]]]:
    """The points of a panel that lie on one another, two or more: a legend does not tell which are in a pile.

    Args:
        values: points with their setting, `x` and `asr`.
        along: where an `x` is on its axis, from 0 to 1.
    """
    piles: list[list[Mapping[str, Any]]] = []
    for value in values:
        for pile in piles:
            apart = (along(value["x"]) - along(pile[0]["x"]), (value["asr"] - pile[0]["asr"]) / 100)
            # Against the first of the pile, not the last: a chain of close points would else reach across the panel.
            if value["setting"] == pile[0]["setting"] and math.hypot(*apart) * SIDE < CLOSE:
                pile.append(value)
                break
        else:
            piles.append([value])
    panels = [value["setting"] for value in values]
    return sorted((pile for pile in piles if len(pile) > 1), key=lambda pile: panels.index(pile[0]["setting"]))


def _told(piles: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    """Which defenses lie in each pile, by the letter that stands beside it."""
    lines = []
    for letter, pile in zip(string.ascii_letters, piles, strict=False):
        names = ", ".join(str(value["defense"]) for value in pile)
        place = f" ({pile[0]['setting']})" if pile[0]["setting"] else ""
        lines += textwrap.wrap(f"{letter}{place}: {names}", LINE, subsequent_indent="    ")
    return lines


def _panels(values: Sequence[Mapping[str, Any]], x: Any, along: Callable[[float], float]) -> Any:
    """A point for each defense, a panel for each setting; None where there is nothing.

    Points that lie on one another have a letter beside them, and their names stand below.
    """
    if not values:
        return None
    alt = library()
    defenses = distinct(values, "defense")
    piles = piled(values, along)
    letters = {id(pile[0]): letter for letter, pile in zip(string.ascii_letters, piles, strict=False)}
    named = [{**value, "letter": letters.get(id(value), "")} for value in values]
    base = alt.Chart(data(named)).encode(color=colour("defense", defenses))
    up = base.mark_rule().encode(x="x:Q", y="low:Q", y2="high:Q")
    # Hollow, so that of points in one place each is seen: what lies below shows through.
    dots = base.mark_point(filled=False, size=75, strokeWidth=2, opacity=1).encode(
        x=x,
        y=alt.Y("asr:Q", title="attack success, %", scale=alt.Scale(domain=[0, 100])),
        shape=shape("defense", defenses),
    )
    layers = [up, dots]
    if "left" in values[0]:
        layers.insert(0, base.mark_rule().encode(x="left:Q", x2="right:Q", y="asr:Q"))
    marks = base.mark_text(dx=9, dy=-9, align="left", fontSize=12, fontWeight="bold")
    layers.append(marks.encode(x=x, y="asr:Q", text="letter:N", color=alt.value(INK)))
    chart = alt.layer(*layers).properties(width=SIDE, height=SIDE)
    settings = distinct(values, "setting")
    if len(settings) > 1:
        chart = chart.facet(alt.Facet("setting:N", sort=settings, title=None), columns=3)
    if told := _told(piles):
        below = alt.TitleParams(
            "In one place:",
            subtitle=told,
            orient="bottom",
            anchor="start",
            fontSize=11,
            subtitleFontSize=11,
            subtitleColor=INK,
        )
        chart = chart.properties(title=below)
    return styled(chart)


def _point(point: Point) -> dict[str, Any]:
    asr = rated(point.asr)
    return {"defense": point.defense, "setting": point.setting, "asr": asr["value"], **asr}


def _across(rate: Mapping[str, float]) -> dict[str, float]:
    return {"x": rate["value"], "left": rate["low"], "right": rate["high"]}
