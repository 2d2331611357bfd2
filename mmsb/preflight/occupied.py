"""Folders that hold another command's runs: these would be written over, or stand in this command's table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmsb.errors import ConfigError, DataError
from mmsb.preflight.parts import without_hydra
from mmsb.run import FILE, measured
from mmsb.schemas import RunRecord, parse_run
from mmsb.sweep import identity
from mmsb.tracker.base import Sweep


def refuse_occupied(config: DictConfig, defenses: Mapping[str, Any]) -> None:
    """See that the folder named for a run or a sweep is new, or was begun by the same command.

    Args:
        config: composed for the command, Hydra's part included.
        defenses: of a single run, built.

    Raises:
        ConfigError: it holds what another command measured, or the same one with another text.
    """
    several = config.hydra.mode is RunMode.MULTIRUN
    folder = Path(config.hydra.sweep.dir if several else config.hydra.run.dir)
    if several:
        # Runs have numbers: those of a longer sweep would stay, and be compared with those of this one.
        before = Sweep.at(folder)
        other = before is not None and before.identity != identity(config)
    else:
        found = _found(folder)
        other = found is not None and measured(found.config) != _plain(config)
        if found and not other:
            _refuse_other_texts(found.record.get("defense", {}), defenses, folder)
    if other:
        key = "hydra.sweep.dir" if several else "hydra.run.dir"
        raise ConfigError(f"{key}={folder} holds what another command measured", "Name another folder, or remove it.")


def _found(folder: Path) -> RunRecord | None:
    """The run that lies there; None where there is none that can be read."""
    try:
        return parse_run(folder / FILE) if (folder / FILE).is_file() else None
    except DataError:
        return None


def _refuse_other_texts(before: Mapping[str, Any], defenses: Mapping[str, Any], folder: Path) -> None:
    # A command names the file of a text, and that was edited: another defense under the same words.
    now = json.loads(json.dumps({name: dict(one.fingerprint()) for name, one in defenses.items()}, default=str))
    if changed := [name for name in now if name in before and before[name] != now[name]]:
        raise ConfigError(
            f"hydra.run.dir={folder} holds what was measured with another defense.{changed[0]}: its files were changed",
            "Name another folder, or remove it.",
        )


def _plain(config: DictConfig) -> object:
    values: Any = OmegaConf.to_container(without_hydra(config), resolve=True)
    return measured(json.loads(json.dumps(values, default=str)))
