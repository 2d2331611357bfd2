"""Figures and tables as files: SVG, PNG and PDF without a browser; CSV, Markdown and LaTeX."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from mmsb.errors import StoreError
from mmsb.report.tables import Table

Format = Literal["svg", "png", "pdf"]
SCALE = 2  # of PNG: 144 dots per inch


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Have what is written to a folder meanwhile be there whole: of a new one nothing is left where that fails.

    Raises:
        StoreError: the disk is full or cannot be written.
    """
    new = not folder.exists()
    try:
        yield
    except BaseException as error:  # Ctrl-C too: a part of a report looks like one
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise StoreError.writing(folder, error) from error
        raise


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only one that writes a page into a folder; who comes second waits, and writes the same once more."""
    # A folder's page is several files, which two commands at once would mix, or take from under each other.
    # The folder itself is locked: a file for it would be shared with the page.
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


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
