"""What tests share to compose configurations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import mmsb.config  # noqa: F401 - registers the resolvers
from mmsb.paths import conf_dir

GROUPS = ("dataset", "scenario", "image_mode", "model", "judge", "defense", "tracker")


def composed(*overrides: str) -> DictConfig:
    """The configuration of a run, with what Hydra knows of its sweep."""
    with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


def complete(config: DictConfig, folder: Path) -> DictConfig:
    """The run's part, with a value for every setting that a user must give."""
    run = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for key in missing(OmegaConf.to_container(run)):
        OmegaConf.update(run, key, str(folder))
    return run


def missing(node: Any, key: str = "") -> Iterator[str]:
    """The settings without a value."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from missing(value, f"{key}.{name}".lstrip("."))
    elif node == "???":
        yield key
