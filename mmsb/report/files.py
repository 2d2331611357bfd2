"""Figures and tables as files: SVG, PNG and PDF without a browser; CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mmsb.report.tables import Table

Format = Literal["svg", "png", "pdf"]
SCALE = 2  # of PNG: 144 dots per inch


def svg(chart: Any) -> str:
    """A chart as SVG."""
    import vl_convert

    # vl-convert carries its own engine and fonts: no browser, no network, and the same picture on every machine.
    drawn: str = vl_convert.vegalite_to_svg(chart.to_dict())
    return drawn


def write_chart(chart: Any, path: Path, formats: Sequence[Format]) -> None:
    """Write a chart beside `path` in each format."""
    import vl_convert

    spec = chart.to_dict()
    for name in formats:
        target = path.with_suffix(f".{name}")
        match name:
            case "svg":
                target.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
            case "png":
                target.write_bytes(vl_convert.vegalite_to_png(spec, scale=SCALE))
            case "pdf":
                target.write_bytes(vl_convert.vegalite_to_pdf(spec))


def write_table(table: Table, folder: Path) -> None:
    """Write a table into `folder` as CSV, Markdown and LaTeX."""
    for suffix, written in (("csv", table.csv()), ("md", table.markdown()), ("tex", table.latex())):
        (folder / f"{table.name}.{suffix}").write_text(written, encoding="utf-8")
