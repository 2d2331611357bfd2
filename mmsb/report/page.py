"""The page: figures, tables and the sample browser as one file to open from disk, or as a folder in chunks.

Everything that a model, a judge or a dataset wrote travels as JSON in blocks that no browser runs, and is put on the
page as text. The content security policy admits the page's own script by its digest, and no other.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import orjson

from mmsb import __version__
from mmsb.config import TARGET_PACKAGES
from mmsb.paths import PACKAGE
from mmsb.report import charts, drawing, tradeoff_charts
from mmsb.report.cards import cards
from mmsb.report.columns import FACETS, Column, named
from mmsb.report.content import findings, tables
from mmsb.report.files import alone, svg
from mmsb.report.finished import Finished
from mmsb.report.pictures import Pictures
from mmsb.report.sweep import Effect, effects
from mmsb.report.tradeoff import points
from mmsb.withholding import Withhold

Form = Literal["auto", "file", "folder"]
SOURCES = PACKAGE / "report/page"
SCRIPTS = ("data.js", "filters.js", "list.js", "labels.js", "card.js", "main.js")
LIVE_SCRIPTS = ("progress.js",)
FILE, PICTURES, CHUNKS = "page.html", "pictures", "data"
CHUNK, PICTURES_A_BLOCK = 2_000, 100  # samples of a chunk, thumbnails of a block
ONE_FILE = 8_000  # samples that open in a moment from one file
COLOURS = {drawing.INK: "currentColor", drawing.LINE: "var(--line)", drawing.GROUND: "none"}


@dataclass(frozen=True)
class Figure:
    """A chart of the page with what says the same in words."""

    name: str
    title: str
    caption: str
    chart: Any


def write_page(
    runs: Sequence[Finished],
    folder: Path,
    withhold: Withhold = "nothing",
    form: Form = "auto",
    packages: Sequence[str] = TARGET_PACKAGES,
    live: bool = False,
) -> Path:
    """Write the page of some runs.

    Args:
        runs: finished runs, or runs that go on (see `mmsb.view`).
        folder: where it goes; thumbnails are kept in its `pictures`.
        withhold: "answers" leaves no trace of what models and judges wrote, "all" none of what was asked either.
        form: one file with thumbnails inside, a folder in chunks, or "auto": a file up to 8,000 samples.
        packages: the packages that the runs' datasets may come from, to find the pictures again.
        live: whether `mmsb.view` serves it, so that it shows progress.

    Returns:
        The page's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        return _written(runs, folder, withhold, form, packages, live)


def _written(
    runs: Sequence[Finished], folder: Path, withhold: Withhold, form: Form, packages: Sequence[str], live: bool
) -> Path:
    columns = named(runs)
    whole = form == "file" or (form == "auto" and one_file(runs))
    _clear(folder, whole, withhold)
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    thumbnails = [Pictures(run, folder / PICTURES, packages) for run in runs]
    chunks = _chunks(columns, thumbnails, withhold)
    shown: dict[str, None] = {}
    finished = [column for column in columns if column.run.metrics]
    changes = effects([column.run for column in finished])
    draft = folder / f".{FILE}.tmp"
    with draft.open("w", encoding="utf-8") as file:
        # Generated piece by piece: a page of 8,000 samples with its pictures is tens of megabytes.
        for text in template(SOURCES, FILE).generate(
            about=_embedded(_about(columns, withhold)),
            figures=[(f, _inline(svg(f.chart))) for f in figures(finished, changes)],
            findings=findings(changes, finished),
            tables=tables(finished, changes) if finished else [],
            chunks=_inside(chunks, shown) if whole else _beside(chunks, folder / CHUNKS),
            pictures=_encoded(shown, folder / PICTURES),
            whole=whole,
            live=live,
            withhold=withhold,
            columns=columns,
            **own_parts((*SCRIPTS, *LIVE_SCRIPTS) if live else SCRIPTS),
        ):
            file.write(text)
        file.flush()
        os.fsync(file.fileno())  # a power cut leaves the old page or the new one, and no half of it
    draft.replace(folder / FILE)  # who has the page open reads the old one to its end
    if not any((folder / PICTURES).iterdir()):
        (folder / PICTURES).rmdir()
    return folder / FILE


def _clear(folder: Path, whole: bool, withhold: Withhold) -> None:
    """Take away what an earlier page left there and this one does not hold."""
    # Folders are shared as they are: what lies beside a page that withholds answers is sent with it.
    if whole:
        shutil.rmtree(folder / CHUNKS, ignore_errors=True)
    if withhold == "all":
        shutil.rmtree(folder / PICTURES, ignore_errors=True)


def figures(columns: Sequence[Column], changes: Sequence[Effect]) -> list[Figure]:
    """The charts that the runs have values for, most telling first."""
    found = points([column.run for column in columns])
    all_figures = (
        Figure(
            "headline", "Attack success", "Averages over scenarios; bars are 95 % intervals.", charts.headline(columns)
        ),
        Figure(
            "differences",
            "Effect of each defense",
            "Paired differences on the same questions, with 95 % intervals: where one holds 0, no effect is shown.",
            charts.differences(changes, columns),
        ),
        Figure(
            "tradeoff",
            "What a defense brings and costs",
            "Better is down (fewer attacks succeed) and left (fewer harmless requests are refused).",
            tradeoff_charts.tradeoff(found),
        ),
        Figure(
            "utility",
            "What a defense leaves of the model's use",
            "Better is down (fewer attacks succeed) and right (more test questions are answered rightly).",
            tradeoff_charts.utility(found),
        ),
        Figure(
            "price",
            "What a defense costs",
            "A sample, with the defense's own calls and its preparations. Better is down and left.",
            tradeoff_charts.price(found),
        ),
        Figure("heat_map", "Heat map", "Attack success by scenario, in percent.", charts.heat_map(columns)),
        Figure("radar", "Radar", "Attack success; rings at 25, 50, 75 and 100 %.", charts.radar(columns)),
    )
    return [figure for figure in all_figures if figure.chart is not None]


def one_file(runs: Sequence[Finished]) -> bool:
    """Whether the page of some runs is small enough for one file."""
    return sum(int(run.metrics.get("n/total", 0)) for run in runs) <= ONE_FILE


def _about(columns: Sequence[Column], withhold: Withhold) -> dict[str, Any]:
    """What the browser must know of the runs."""
    return {
        "withheld": withhold,
        "titles": {name: title for column in columns for name, title in column.titles.items()},
        "columns": [
            {
                "run": c.run.values.get("id", ""),
                "label": c.label,
                "who": c.who,
                "mode": c.facets["image_mode"],
                "facets": [c.facets[f] for f in FACETS],
            }
            for c in columns
        ],
    }


def _chunks(columns: Sequence[Column], found: Sequence[Pictures], withhold: Withhold) -> Iterator[Sequence[Any]]:
    """The cards, some at a time."""
    rest = cards(columns, lambda number, row: found[number].thumbnail(row), withhold)
    # A card holds a cell a run, so that with many runs fewer cards make a chunk of the same weight.
    size = max(1, CHUNK // max(1, len(columns)))
    while batch := list(islice(rest, size)):
        yield batch


def _inside(chunks: Iterable[Sequence[Any]], shown: dict[str, None]) -> Iterator[Any]:
    """The chunks as blocks of the page; notes in `shown` which pictures they show."""
    for batch in chunks:
        shown.update({cell["image"]: None for card in batch for cell in card["cells"].values() if "image" in cell})
        yield _embedded(batch)


def _encoded(shown: Iterable[str], folder: Path) -> Iterator[Any]:
    """The pictures as blocks; they come last in the page, so that nobody waits for them."""
    rest = iter(shown)
    while batch := list(islice(rest, PICTURES_A_BLOCK)):
        yield _embedded({name: base64.b64encode((folder / name).read_bytes()).decode() for name in batch})


def _beside(chunks: Iterable[Sequence[Any]], folder: Path) -> Iterator[Any]:
    """Write each chunk into a script of its own; the page loads them one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.js"):
        old.unlink()
    for number, batch in enumerate(chunks):
        name = f"{number:05}.js"
        # A script that calls with a text, since a page opened from disk may load scripts and nothing else (no `fetch`
        # from `file:`); a text, since JSON.parse is faster than a script's own literals and runs nothing.
        (folder / name).write_text(f"mmsbChunk({_json(_json(batch))});\n", encoding="utf-8")
        yield _embedded(f"{folder.name}/{name}")


def _json(value: object) -> str:
    """JSON that cannot end the block it stands in."""
    found = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    return found.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _embedded(value: object) -> Any:
    from markupsafe import Markup

    return Markup(_json(value))


def _inline(drawing: str) -> Any:
    """A chart's SVG in the page's own colours, so that it is right in the dark too."""
    from markupsafe import Markup

    for colour, own in COLOURS.items():
        drawing = drawing.replace(f'"{colour}"', f'"{own}"')
    return Markup(drawing)


def own_parts(scripts: Sequence[str]) -> dict[str, Any]:
    """The page's own style and script, with their digests for the policy.

    Args:
        scripts: the script files, in their order.
    """
    from markupsafe import Markup

    style = (SOURCES / "page.css").read_text(encoding="utf-8")
    script = '"use strict";\n' + "\n".join((SOURCES / name).read_text(encoding="utf-8") for name in scripts)
    return {
        "style": Markup(style),
        "script": Markup(script),
        "style_digest": _sha256(style),
        "script_digest": _sha256(script),
        "version": __version__,
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }


def _sha256(text: str) -> str:
    # In the form that a content security policy takes: 'sha256-...'.
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def template(folder: Path, name: str) -> Any:
    """A template that escapes whatever is put into it and knows no undefined name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
