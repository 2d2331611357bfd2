"""What tests share to compose configurations."""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import omegaconf._utils
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides, create_defaults_list
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf._utils import OmegaConfDumper
from omegaconf.grammar_parser import parse

import mmsb.config  # noqa: F401 - registers the resolvers
from mmsb.paths import conf_dir

COPIES = {kind: kind.__deepcopy__ for kind in (DictConfig, ListConfig)}  # OmegaConf's own
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


@pytest.fixture(scope="session", autouse=True)
def configurations_are_copied_fast() -> Iterator[None]:
    """A command copies its whole configuration several times, node by node in Python: a fifth of what it takes."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in COPIES:
            patch.setattr(kind, "__deepcopy__", lambda node, memo: copy_of(node, node.__dict__["_parent"]))
        yield


def copy_of(node: Any, parent: Any) -> Any:
    """What OmegaConf's own copy is: nodes and what is noted of them are new, values are shared, so is the parent."""
    made = object.__new__(type(node))
    noted = node.__dict__["_metadata"]
    made.__dict__.update(node.__dict__, _parent=parent, _flags_cache=None, _metadata=object.__new__(type(noted)))
    noted = {**vars(noted)}
    noted["flags"] = copy.copy(noted["flags"])
    noted["resolver_cache"] = copy.deepcopy(noted["resolver_cache"]) if noted["resolver_cache"] else defaultdict(dict)
    made.__dict__["_metadata"].__dict__.update(noted)
    content = node.__dict__.get("_content")
    if isinstance(content, dict):
        made.__dict__["_content"] = {key: copy_of(value, made) for key, value in content.items()}
    elif isinstance(content, list):
        made.__dict__["_content"] = [copy_of(value, made) for value in content]
    elif isinstance(content, Node):
        made.__dict__["_content"] = copy_of(content, made)
    return made


@pytest.fixture(scope="session", autouse=True)
def files_of_a_run_are_written_fast() -> Iterator[None]:
    """Hydra leaves its whole configuration in each run's folder: a fifth of a small run, unless libyaml writes it."""

    class Dumper(yaml.CDumper):  # type: ignore[misc]
        pass

    Dumper.add_representer(str, OmegaConfDumper.str_representer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("omegaconf.omegaconf.get_omega_conf_dumper", lambda: Dumper)
        yield


@pytest.fixture(scope="session", autouse=True)
def texts_are_parsed_once() -> Iterator[None]:
    """Interpolations of the package's own files, and settings that tests type again and again."""
    read = cache(OverridesParser.parse_rule)

    def rule(parser: OverridesParser, text: str, name: str) -> Any:
        return copy.copy(read(parsers, text, name))  # who asked notes in it who loads configurations

    parsers = OverridesParser.create()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OverridesParser, "parse_rule", rule)
        for module in (omegaconf.base, omegaconf._utils):
            patch.setattr(module, "parse", cache(parse))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_options_are_merged_once() -> Iterator[None]:
    """Most commands differ in values alone: which files are merged, and into what, is most of what composing takes."""
    listed, merge = create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
    known = defaults_list._create_interpolation_map
    ours = {f"file://{conf_dir()}", "pkg://hydra.conf", "structured://"}
    lists: dict[tuple[object, ...], DefaultsList] = {}
    merged: dict[int, DictConfig] = {}

    def once(repo: IConfigRepository, config_name: str, overrides_list: list[Override], **how: bool) -> DefaultsList:
        sources = tuple(source.full_path() for source in repo.get_sources())
        if not ours.issuperset(sources):
            return listed(repo, config_name, overrides_list, **how)
        values = Overrides(repo, overrides_list).config_overrides
        options = [one for one in overrides_list if one not in values and not one.is_sweep_override()]
        key = (config_name, *(one.input_line for one in options), sources, *how.values())
        if key not in lists:
            lists[key] = listed(repo, config_name, options, **how)
        return dataclasses.replace(lists[key], config_overrides=values)

    def choices(overrides: Overrides, defaults: list[InputDefault], self_added: bool) -> DictConfig:
        # Hydra lists all choices again for each file, for the few files that name one of them.
        wanted = any(one.is_interpolation() for one in defaults)
        return known(overrides, defaults, self_added) if wanted else OmegaConf.create()

    def composed(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        if not any(found.defaults is defaults for found in lists.values()):
            return merge(loader, defaults, repo)
        if id(defaults) not in merged:
            merged[id(defaults)] = merge(loader, defaults, repo)
        return copy.deepcopy(merged[id(defaults)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_loader_impl, "create_defaults_list", once)
        patch.setattr(defaults_list, "_create_interpolation_map", choices)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", composed)
        yield
