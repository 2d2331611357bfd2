"""What the charts of a report have in common: Altair, colours, shapes, axes, looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsb.metrics.rates import Rate

if TYPE_CHECKING:
    import altair

INK, LINE, GROUND = "#1b1f24", "#d8dbdf", "#fefefe"  # the page puts its own colours for these three
PALETTE = ("#6f7680", "#0f86c8", "#d9720a", "#0b9a75", "#c8629c", "#a48a00", "#c0392b", "#7757c9", "#3fa7a3", "#8c5a3c")

# Pixels around a chart: what shows it may have no font of these widths, and where it stands in wider letters a name
# would be cut off at the edge.
MARGIN = {"left": 24, "right": 24, "top": 5, "bottom": 5}


def library() -> Any:
    """Altair, imported when the first chart is drawn."""
    import altair

    return altair


def data(values: Sequence[Mapping[str, Any]]) -> altair.InlineData:
    """Values inside the chart's own file."""
    return library().InlineData(values=list(values))  # type: ignore[no-any-return]


def rated(rate: Rate) -> dict[str, float]:
    """A rate in percent, with its ends."""
    return {"value": 100 * rate.value, "low": 100 * rate.low, "high": 100 * rate.high}


def distinct(values: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The values of a key, in order of appearance."""
    return list(dict.fromkeys(value[key] for value in values))


def percent(field: str, title: str) -> Any:
    """An axis from 0 to 100 %."""
    alt = library()
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, 100]))


def colour(field: str, order: Sequence[str]) -> Any:
    """Colours in that order; a legend where there is more than one."""
    alt = library()
    colours = [PALETTE[n % len(PALETTE)] for n in range(len(order))]
    legend = alt.Legend(title=None, orient="top", columns=4, symbolOpacity=1) if len(order) > 1 else None
    return alt.Color(f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order), range=colours), legend=legend)


def shape(field: str, order: Sequence[str]) -> Any:
    """Shapes tell apart what colours alone would not for everyone."""
    alt = library()
    legend = alt.Legend(title=None, orient="top", columns=4) if len(order) > 1 else None
    return alt.Shape(f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order)), legend=legend)


def styled(chart: Any) -> Any:
    """The looks of all charts."""
    return (
        chart.configure(background=GROUND, font="Helvetica, Arial, sans-serif", padding=MARGIN)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            domainColor=LINE,
            tickColor=LINE,
            gridColor=LINE,
            labelFontSize=11,
            labelLimit=260,
            labelFlush=False,  # else "0" and "100" stand beside their ticks
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=INK, titleColor=INK, labelLimit=260, titleFontWeight="normal")
        .configure_header(labelColor=INK, titleColor=INK, labelFontSize=12, labelLimit=260)
        .configure_title(color=INK, fontSize=12, fontWeight="normal")
        .configure_text(color=INK)
    )
