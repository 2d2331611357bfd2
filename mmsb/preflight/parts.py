"""The parts of a run, each built by itself: a value that the judge lacks does not hide that weights are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mmsb.config import TARGET_PACKAGES, build
from mmsb.error_messages import ERRORS, readable
from mmsb.errors import ConfigError, MmsbError
from mmsb.experiment import Experiment
from mmsb.hydra_app import Planned
from mmsb.judge.reader import READER
from mmsb.judge.refusal import Refusal
from mmsb.override_rules import refuse_lists
from mmsb.tracker.none import NoTracker

PARTS = ("dataset", "scenario", "image_mode", "model", "judge", "defense", "tracker", "prices", "budget")
NEEDED = ("dataset", "scenario", "image_mode")  # to look at questions and pictures
EXPLAINED = {
    "judge.evaluation_file": "evaluation.py of a checkout of the benchmark authors' repository",
    "judge.model.name": "the judging model; the paper's was gpt-4",
    "dataset.root": "the folder that holds its files; for MM-SafetyBench the authors' data/",
}


@dataclass
class Cell:
    """One run that is going to be, as far as it can be built.

    Attributes:
        name: what tells it from the others.
        config: without Hydra's part; None where it could not be composed.
        choices: the option of each group.
        launcher: the class that will start it.
        experiment: its settings; stand-ins for parts that cannot be built; None where too little can.
        whole: whether there is no stand-in among them.
        errors: everything that is wrong with it so far.
    """

    name: str
    config: DictConfig | None = None
    choices: dict[str, str] = field(default_factory=dict)
    launcher: str = ""
    experiment: Experiment | None = None
    whole: bool = False
    errors: list[MmsbError] = field(default_factory=list)


def cell(run: Planned, name: str) -> Cell:
    """Compose and build a run; never raises what is wrong with it."""
    made = Cell(name)
    try:
        refuse_lists(run.overrides)
        composed = run.compose()
        made.choices = {str(key): str(value) for key, value in composed.hydra.runtime.choices.items() if value}
        made.launcher = str(composed.hydra.launcher.get("_target_"))
        made.config = without_hydra(composed)
    except ERRORS as error:
        made.errors.append(readable(error, run.overrides))
        return made
    lacking = missing(made.config)
    made.errors.extend(ConfigError(f"no value for {key}", _wanted(key)) for key in lacking)
    try:
        made.experiment, made.whole = _experiment(made, lacking, run.overrides)
    except ERRORS as error:
        made.errors.append(readable(error, run.overrides))
    return made


def without_hydra(composed: DictConfig) -> DictConfig:
    """The configuration as a run is given it."""
    config = composed.copy()
    with read_write(config), open_dict(config):
        config.pop("hydra", None)
    return config


def missing(config: DictConfig) -> list[str]:
    """The keys that wait for a value; an interpolation to one of them is none of its own."""
    return list(_missing(OmegaConf.to_container(config)))


def _missing(node: object, key: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _missing(value, f"{key}.{name}".lstrip("."))
    elif node == "???":
        yield key


def _wanted(key: str) -> str:
    explained = f"  ({EXPLAINED[key]})" if key in EXPLAINED else ""
    return f"Add {key}=... to the command.{explained}"


def _experiment(made: Cell, lacking: list[str], overrides: Sequence[str]) -> tuple[Experiment | None, bool]:
    """The settings as a whole, or, where a part is broken, with a harmless one in its place."""
    config = made.config
    assert config is not None
    packages = (*TARGET_PACKAGES, *config.trusted_packages)
    # Only where no value is missing: else each missing value would be an error of its own type.
    if not lacking:
        try:
            return build(config, Experiment, packages), True
        except ERRORS as error:
            made.errors.append(readable(error, overrides))
    parts = dict(_built(config, packages))
    if any(part not in parts for part in NEEDED):
        return None, False
    # These are never asked: they let the questions and pictures be looked at where, say, the judge is broken.
    stand_in: dict[str, Any] = {"model": READER, "judge": Refusal(), "defense": {}, "tracker": NoTracker()}
    try:
        return Experiment(**{**stand_in, **parts, "protocol": config.protocol}), False
    except ERRORS:  # said when the whole was built
        return None, False


def _built(config: DictConfig, packages: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every part that can be built; what is wrong with another was said when the whole was built, or lacks a value."""
    for part in PARTS:
        node = config.get(part)
        # It lacks a value, which was told; building it would only say the same in other words.
        if not isinstance(node, DictConfig) or missing(node):
            continue
        try:
            yield part, build(node, object, packages)
        except ERRORS:
            continue
