"""python -m mmsb.models: the models there are: where their weights come from, and what was checked."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmsb.cli import run_command
from mmsb.config import TARGET_PACKAGES, build, settings
from mmsb.convert.source import Files
from mmsb.model.card import Card
from mmsb.model.protocol import Protocol
from mmsb.paths import PACKAGE, conf_dir
from mmsb.terminal import print_table

SETTINGS = ("preset", "setting", "source", "held against the authors' code")
HEADINGS = ("preset", "route", "weights", "licence", "parameters", "files", "gated", "image fit")
SHORT, WIDE = ("preset", "route", "parameters", "files", "here"), 120  # what a terminal of fewer columns has room for
SOURCES = Path("checkpoints/sources")  # where mmsb.convert looks for published files
TITLES = {True: "The systems of the benchmark's paper", False: "Other models"}
INTRODUCTION = """# Models

Written by `python -m mmsb.models markdown=docs/models.md` from the presets in `conf/model/`.

Routes: *transformers* loads the published weights as they are; *converted* needs `python -m mmsb.convert model=PRESET`
once, which says which published files it needs; *endpoint* asks a server. No route runs remote code.

Image fit is how a picture becomes the square that the model sees, as its authors show it. It changes results: a centre
crop cuts the typed line off a tall picture. `model.fit.how=pad` (or squash, crop, native) shows it otherwise.

The last table says of every setting of the paper's systems where it was read (file and line, at the commit of the
authors' code that is named) and whether it was held against a recorded run of that code
([protocols](paper.md#protocols)).

"Checked" is what was compared numerically, on tiny random weights. **No published weights of these models were loaded
for it**: loading is strict instead, and stops at the first weight that does not match.
"""


@settings
class Models:
    """Settings of the table of models.

    Attributes:
        markdown: a file to write the table to; None prints it.
    """

    markdown: Path | None = None
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def run(self) -> None:
        """Print the table, or write it."""
        found = list(presets((*TARGET_PACKAGES, *self.trusted_packages)))
        if self.markdown is None:
            show(found)
            return
        from mmsb.digest import write_atomically

        write_atomically(self.markdown, markdown(found))
        print(f"{len(found)} models: {self.markdown}")


@dataclass(frozen=True)
class Preset:
    """One preset's line."""

    name: str
    route: str
    weights: str
    fit: str
    card: Card | None
    protocols: Mapping[str, Protocol]
    here: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells, as HEADINGS."""
        card = self.card
        if card is None:
            return (self.name, self.route, self.weights, "-", "-", "-", "-", self.fit)
        size = f"{card.size_gb:g} GB" if card.size_gb is not None else "?"
        count = f"{card.parameters:g} B" if card.parameters is not None else "?"
        gated = "yes" if card.gated else "no"
        return (self.name, self.route, self.weights, card.licence, count, size, gated, self.fit)

    @property
    def settled(self) -> Iterator[tuple[str, str, str, str]]:
        """A line for each setting whose source is known, as SETTINGS."""
        card = self.card
        if card is None or not card.code:
            return
        code = f"{card.code.removeprefix('https://')} at {card.commit}"
        for name, source in card.settings.items():
            yield self.name, name, f"{source}; {code}", "yes" if card.recording else "no"
        for name, protocol in self.protocols.items():
            decoding = ", ".join(f"{key} {value}" for key, value in protocol.generation.items()) or "greedy"
            if protocol.max_new_tokens:
                decoding += f", {protocol.max_new_tokens} tokens"
            held = "yes" if protocol.held else "no: read only"
            yield self.name, f"protocol={name}: {decoding}", protocol.source, held


def presets(packages: tuple[str, ...]) -> Iterator[Preset]:
    """Every preset of conf/model that names a model of its own.

    Raises:
        ConfigError: a preset that cannot be built.
    """
    from hydra import compose

    from mmsb.model.base import Engine

    names = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
    # All in one composition, each under its own name: one by one they take four times as long.
    every = compose(overrides=[f"+model@{name}={name}" for name in names])
    for name in names:
        config = every[name]
        if not any(OmegaConf.is_missing(config, key) for key in config):
            yield described(name, build(config, Engine, packages))  # type: ignore[type-abstract]


def described(name: str, model: Any) -> Preset:
    """A built preset's line."""
    if not hasattr(model, "name_or_path"):
        return Preset(name, "endpoint", model.name, "-", model.card, {}, "-")
    weights = model.name_or_path
    route = "converted" if hasattr(model, "source") else "transformers"
    if route == "converted" and model.card is not None:
        weights = model.card.source
    if Path(weights).is_relative_to(PACKAGE):
        weights = "comes with mmsb"
    fit = model.fit.how if hasattr(model, "fit") else "-"
    return Preset(name, route, weights, "its own" if fit == "native" else fit, model.card, model.protocols, here(model))


def here(model: Any) -> str:
    """What of a local model is on this machine's disk."""
    folder = Path(model.name_or_path).expanduser()
    # A folder that is named before it is filled (by a conversion that was killed) is not there yet.
    if (folder / "config.json").is_file():
        return "ready"
    if hasattr(model, "source"):
        missing = Files(SOURCES, model.source).missing()
        return f"{len(model.source) - len(missing)} of {len(model.source)} files" if model.source else "-"
    from huggingface_hub import try_to_load_from_cache

    held = try_to_load_from_cache(model.name_or_path, "config.json", revision=model.revision)
    return "in the hub's cache" if isinstance(held, str) else "no"


def sections(found: list[Preset]) -> Iterator[tuple[str, list[Preset]]]:
    """The paper's systems, then the others."""
    for paper, title in TITLES.items():
        yield title, [preset for preset in found if bool(preset.card and preset.card.paper) is paper]


def show(found: list[Preset]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # In a pipe there is no width to fit, and cut cells cannot be searched.
    out = Console() if sys.stdout.isatty() else Console(width=400)
    for title, rows in sections(found):
        table = Table(title=title, title_justify="left", title_style="bold")
        headings = (*HEADINGS, "here")
        kept = [n for n, heading in enumerate(headings) if out.width >= WIDE or heading in SHORT]
        for place in kept:
            table.add_column(headings[place])
        for preset in rows:
            cells = (*preset.cells, preset.here)
            table.add_row(*(escape(cells[place]) for place in kept))
        print_table(table, out)
    if out.width < WIDE:
        print(f"A terminal of {WIDE} columns shows their licences and where the weights come from.")
    print("Where the settings come from, and what was checked of each: docs/models.md")
    print("Weights that are not here: python -m mmsb.convert --help")


def markdown(found: list[Preset]) -> str:
    """The table as a page, with what was checked of each model."""
    lines = [INTRODUCTION]
    for title, rows in sections(found):
        lines += [f"## {title}", "", row(HEADINGS), row(["---"] * len(HEADINGS))]
        lines += [row(preset.cells) for preset in rows]
        lines += ["", row(("preset", "checked", "not checked")), row(["---"] * 3)]
        lines += [row((p.name, p.card.verified or "-", p.card.unverified or "-")) for p in rows if p.card]
        lines.append("")
    lines += ["## Where the settings of the paper's systems come from", "", row(SETTINGS), row(["---"] * len(SETTINGS))]
    lines += [row(cells) for preset in found for cells in preset.settled]
    return "\n".join([*lines, ""])


def row(cells: Any) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def task(config: DictConfig) -> None:
    """Show the models."""
    from mmsb.models import Models as Settings  # the class that _target_ names, not this file run as a script

    build(config, Settings).run()


if __name__ == "__main__":
    sys.exit(run_command("models", task))
