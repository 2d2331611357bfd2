"""What tests share to compose configurations."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
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


@pytest.fixture(scope="session", autouse=True)
def own_files_are_read_once() -> Iterator[None]:
    """The package's own YAML does not change while tests run, and parsing it is a third of what a command takes."""
    Plugins.instance()  # fills the registry
    source_type = SourcesRegistry.instance().resolve("file")
    read, ours = source_type.load_config, str(conf_dir())

    @cache
    def parsed(path: str, provider: str, name: str) -> ConfigResult:
        return read(source_type(provider, path), name)

    def load(source: ConfigSource, config_path: str) -> ConfigResult:
        if source.path != ours:
            return read(source, config_path)
        found = parsed(source.path, source.provider, config_path)
        return dataclasses.replace(found, config=copy.deepcopy(found.config), header=dict(found.header))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_type, "load_config", load)
        yield
