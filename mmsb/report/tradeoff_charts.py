"""The trade-off of defenses as charts: attack success against false refusals, against accuracy, against the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmsb.metrics.declared import ACCURACY
from mmsb.report.drawing import colour, data, distinct, library, percent, rated, shape, styled
from mmsb.report.tradeoff import Point, prices

SIDE = 260  # pixels of a panel
UNITS = ("calls", "tokens", "seconds", "dollars")


def tradeoff(points: Sequence[Point]) -> Any:
    """Attack success against false refusals: better is down and left."""
    values = [_point(point) | _across(rated(point.false_refusals)) for point in points]
    return _panels(values, percent("x", "false refusals, %"))


def utility(points: Sequence[Point]) -> Any:
    """Attack success against the share of test questions answered rightly: better is down and right."""
    found = [(point, point.test and point.test.rate(ACCURACY.key("macro"))) for point in points]
    values = [_point(point) | _across(rated(rate)) for point, rate in found if rate]
    return _panels(values, percent("x", "test questions answered rightly, %"))


def price(points: Sequence[Point]) -> Any:
    """Attack success against what an answer costs, on a logarithmic axis: better is down and left.

    In dollars where they are known of all, else in tokens, seconds or calls; never in what is known of some only.
    """
    for number in (3, 1, 2, 0):
        spent = [prices(point)[number] for point in points]
        if spent and all(spent):
            alt = library()
            values = [_point(point) | {"x": value} for point, value in zip(points, spent, strict=True)]
            axis = alt.Axis(format="~g", tickCount=5)
            scale = alt.Scale(type="log", nice=False, padding=12)
            return _panels(values, alt.X("x:Q", title=f"{UNITS[number]} a sample", scale=scale, axis=axis))
    return None


def _panels(values: Sequence[Mapping[str, Any]], x: Any) -> Any:
    """A point for each defense, a panel for each setting; None where there is nothing."""
    if not values:
        return None
    alt = library()
    defenses = distinct(values, "defense")
    base = alt.Chart(data(values)).encode(color=colour("defense", defenses))
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
    chart = alt.layer(*layers).properties(width=SIDE, height=SIDE)
    settings = distinct(values, "setting")
    if len(settings) > 1:
        chart = chart.facet(alt.Facet("setting:N", sort=settings, title=None), columns=3)
    return styled(chart)


def _point(point: Point) -> dict[str, Any]:
    asr = rated(point.asr)
    return {"defense": point.defense, "setting": point.setting, "asr": asr["value"], **asr}


def _across(rate: Mapping[str, float]) -> dict[str, float]:
    return {"x": rate["value"], "left": rate["low"], "right": rate["high"]}
