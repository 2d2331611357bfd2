"""The job `create`: its settings, and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from mmsb.config import settings
from mmsb.create.folder import Folder
from mmsb.create.instructions import Instructions
from mmsb.create.own import Own, read_own
from mmsb.create.twins import BENIGN
from mmsb.dataset.base import Dataset
from mmsb.font import default_font, font_digest
from mmsb.generator.base import Generator
from mmsb.image_mode import Font
from mmsb.model.base import Engine
from mmsb.prices import Prices
from mmsb.scenario import Scenario

Step = Literal["propose", "fetch", "questions", "twins", "phrases", "review", "pictures", "typed", "card", "validate"]


@settings
class Create:
    """One making of a dataset, as typed settings.

    Attributes:
        root: the dataset's folder.
        steps: what is done, in the order written.
        scenario: the scenarios that the steps work on; `own` takes their place.
        own: a scenario file of the user's own.
        questions: a folder of {scenario}.txt (questions to be phrased) or {scenario}.json (records, taken as they are);
            or a file of ready-made records, CSV or JSON lines.
        archive: the authors' zip of images, for the step fetch.
        dataset: a dataset to write out in the authors' layout, for the step fetch.
        model: the language model of the steps propose, twins and phrases.
        instructions: what it is told, and how its replies are read.
        attempts: how often the model is asked for a key phrase before a person is.
        propose: how many questions the step propose wants for each scenario.
        generator: what draws the pictures.
        font: how text is typed.
        workers: processes for typed text; None: one a core.
        prices: what models and pictures cost, for `dry_run`.
        dry_run: only say what would be done and what it would take.
    """

    root: Path
    steps: tuple[Step, ...]
    scenario: dict[str, Scenario]
    own: Path | None = None
    questions: Path | None = None
    archive: Path | None = None
    dataset: Dataset | None = None
    model: Engine | None = None
    instructions: Instructions
    prices: Prices | None = None
    attempts: PositiveInt = 3
    propose: PositiveInt = 20
    generator: Generator
    font: Font = Field(default_factory=Font)
    workers: PositiveInt | None = None
    dry_run: bool = False
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    @cached_property
    def folder(self) -> Folder:
        """The dataset's folder."""
        return Folder(self.root)

    @cached_property
    def own_scenario(self) -> Own | None:
        """What the scenario file holds."""
        return read_own(self.own) if self.own else None

    @cached_property
    def scenarios(self) -> list[Scenario]:
        """The scenarios that the steps work on."""
        return [self.own_scenario.scenario] if self.own_scenario else list(self.scenario.values())

    @property
    def has_twins(self) -> bool:
        """Whether the folder holds harmless twins of its questions."""
        # A root that is itself a set of twins has none: else each step would look for twins of twins.
        return bool((self.root / BENIGN / "questions").is_dir() and self.root.name != BENIGN)

    @property
    def twins(self) -> Create:
        """The same job for the harmless twins."""
        return replace(self, root=self.root / BENIGN)

    @property
    def source(self) -> str | None:
        """The dataset that is copied, with the commit of the hub where it comes from there."""
        commit = getattr(self.dataset, "commit", None)
        return (f"{self.dataset.name}@{commit}" if commit else self.dataset.name) if self.dataset else None

    def facts(self) -> dict[str, Any]:
        """What the dataset was made with, for manifest and card."""
        # The order in which `Font.type` looks for it: what is certified is what was typed with.
        font = self.font.path or self.folder.font or default_font()
        return {
            "copied from": self.source,
            "language model": dict(self.model.fingerprint()) if self.model else None,
            "instructions": self.instructions.name,
            "generator": {"prompt": self.generator.prompt, "seed": self.generator.seed, **self.generator.fingerprint()},
            "font": {"file": font.name, "digest": font_digest(font), "size": self.font.size, "width": self.font.width},
        }
