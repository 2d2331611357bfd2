"""Folders that hold another command's runs: these would be written over, or stand in this command's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmsb.errors import ConfigError, DataError
from mmsb.preflight.parts import without_hydra
from mmsb.run import FILE, measured
from mmsb.schemas import parse_run
from mmsb.sweep import identity
from mmsb.tracker.base import Sweep


def refuse_occupied(config: DictConfig) -> None:
    """See that the folder named for a run or a sweep is new, or was begun by the same command.

    Args:
        config: composed for the command, Hydra's part included.

    Raises:
        ConfigError: it holds what another command measured.
    """
    several = config.hydra.mode is RunMode.MULTIRUN
    folder = Path(config.hydra.sweep.dir if several else config.hydra.run.dir)
    if several:
        # Runs have numbers: those of a longer sweep would stay, and be compared with those of this one.
        before = Sweep.at(folder)
        other = before is not None and before.identity != identity(config)
    else:
        other = (folder / FILE).is_file() and _measured(folder) not in (None, _plain(config))
    if other:
        key = "hydra.sweep.dir" if several else "hydra.run.dir"
        raise ConfigError(f"{key}={folder} holds what another command measured", "Name another folder, or remove it.")


def _measured(folder: Path) -> object:
    """The configuration of the run that lies there; None where that cannot be read."""
    try:
        return measured(parse_run(folder / FILE).config)
    except DataError:
        return None


def _plain(config: DictConfig) -> object:
    values: Any = OmegaConf.to_container(without_hydra(config), resolve=True)
    return measured(json.loads(json.dumps(values, default=str)))
