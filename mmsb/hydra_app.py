"""Hydra, driven as `hydra.main` drives it, with three differences.

What it composed is checked before anything of it is built or written; all runs can be looked at before the first of
them starts; and options such as -m may stand anywhere between the settings.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hydra import version
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_app, create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.types import RunMode
from omegaconf import DictConfig

from mmsb import __version__
from mmsb.completion import complete
from mmsb.config_loader import Loader
from mmsb.console import say
from mmsb.errors import ConfigError
from mmsb.override_rules import refuse_lists, refuse_unreadable, replaced
from mmsb.paths import conf_dir

Task = Callable[[DictConfig], None]


@dataclass(frozen=True)
class Planned:
    """One run that is going to be.

    Attributes:
        overrides: its own arguments.
        compose: makes its whole configuration, Hydra's part included; may raise whatever is wrong with it.
    """

    overrides: tuple[str, ...]
    compose: Callable[[], DictConfig]


Before = Callable[[DictConfig, Sequence[Planned]], bool]  # whether the runs are to start


class NotStarted(Exception):
    """What was asked for is done, and no run is to start."""


class CheckedHydra(Hydra):
    """Hydra, that checks what it composes; and shows all runs before it starts or writes anything.

    Attributes:
        before: called once with the configuration and the runs that follow from it.
    """

    config_loader: Loader
    before: Before | None = None
    _starting: RunMode | None = None
    _left: Path | None = None

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """One run."""
        self._starting = RunMode.RUN
        return super().run(*args, **kwargs)

    def multirun(self, *args: Any, **kwargs: Any) -> Any:
        """Several."""
        self._starting = RunMode.MULTIRUN
        try:
            return super().multirun(*args, **kwargs)
        finally:
            if self._left:
                _clear(self._left)

    def compose_config(self, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any) -> DictConfig:
        """The configuration.

        Raises:
            ConfigError: it may not be run; see `mmsb.config_rules`.
            NotStarted: it was only to be looked at.
        """
        refuse_lists(overrides)
        config = super().compose_config(config_name, overrides, *args, **kwargs)
        if config.hydra.output_subdir is None:  # a command that makes no run, asked several times
            self._left = Path(config.hydra.sweep.dir)
        # Once: Hydra composes again for each run that it starts.
        if self._starting and self.before:
            mode, self._starting = self._starting, None
            if not self.before(config, list(self._planned(config, mode))):
                raise NotStarted
        return config

    def _planned(self, config: DictConfig, mode: RunMode) -> Iterator[Planned]:
        """The runs. Of a sweeper that chooses as it goes: one for each value that it may choose, which it may mix."""
        typed = list(config.hydra.overrides.task)
        if mode is RunMode.RUN:
            yield Planned(tuple(typed), lambda: config)
            return
        params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        overrides = OverridesParser.create(config_loader=self.config_loader).parse_overrides([*params, *typed])
        # An optimiser chooses its next run by the results of the last: only the basic sweeper's runs are known.
        if config.hydra.sweeper["_target_"].endswith(f".{BasicSweeper.__name__}"):
            (cells,) = BasicSweeper.split_arguments(overrides, None)
        else:
            cells = one_of_each(overrides)
        _refuse_idle(cells)
        for cell in cells:
            yield Planned(tuple(cell), partial(self.config_loader.composed, config, tuple(cell)))


def _clear(folder: Path) -> None:
    """Remove what Hydra writes for any sweep, and the folders that are empty then."""
    (folder / "multirun.yaml").unlink(missing_ok=True)
    with suppress(OSError):  # something else lies there, or there is none
        ours = (folder.parent, folder.parent.parent) if folder.parent.name == "sweeps" else ()
        for empty in (*folder.glob("*/"), folder, *ours):
            empty.rmdir()


def _refuse_idle(cells: Sequence[Sequence[str]]) -> None:
    """Refuse a sweep without a run, and one with the same run twice, which the table would show as two."""
    if not cells:
        raise ConfigError("this sweep has no run", "A range or a glob in it meets nothing.")
    twice = [cell for cell, count in Counter(map(tuple, cells)).items() if count > 1]
    if twice:
        raise ConfigError(f"this sweep has one run twice: {' '.join(twice[0])}", "Name each value once.")


def one_of_each(overrides: Sequence[Override]) -> list[list[str]]:
    """Runs in which every value of every swept key comes once, the others at their first; of a range, its ends."""
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key, value = override.get_key_element(), override.value()
        if isinstance(value, IntervalSweep):
            values = [str(value.start), str(value.end)]
        elif override.is_sweep_override():
            values = list(override.sweep_string_iterator())
        else:
            values = [override.get_value_element_as_str()]
        axes[key] = [f"{key}={one}" for one in values]
    # All combinations of an optimiser's axes may be millions; an option that is wrong is wrong in any of them.
    first = {key: values[0] for key, values in axes.items()}
    changed = [{**first, key: value} for key, values in axes.items() for value in values[1:]]
    return [list(cell.values()) for cell in (first, *changed)]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's options and the settings (`overrides`) of a command line, in any order."""
    parser = get_args_parser()
    parser.error = _refuse_words  # type: ignore[method-assign, assignment]
    for action in parser._actions:
        if action.dest == "version":
            action.version = f"mmsb {__version__}"  # type: ignore[attr-defined]
    return parser.parse_intermixed_args(list(arguments))


def _refuse_words(told: str) -> NoReturn:
    raise ConfigError(told, "Settings are KEY=VALUE; --help shows them, and the options that begin with a dash.")


def run_hydra(args: argparse.Namespace, config_name: str, task: Task, before: Before | None = None) -> None:
    """Compose and run, or show what Hydra is asked to show; `before` is called first, and may have nothing started.

    Raises:
        ConfigError: options that do not go together, or a configuration that may not be run.
    """
    _refuse_options(args)
    refuse_unreadable(args.overrides)
    for told in () if args.shell_completion else replaced(args.overrides):
        say(told)
    # Without it Hydra warns and, as its version 1.1 did, changes into the folder of each run.
    version.setbase("1.3")
    GlobalHydra.instance().clear()
    path = _search_path(args.config_dir)
    hydra = CheckedHydra.create_main_hydra2("mmsb", path)
    assert isinstance(hydra, CheckedHydra)
    hydra.config_loader, hydra.before = Loader(path, checks=not args.shell_completion), before
    _take_launchers_over()
    try:
        _dispatch(hydra, args, args.config_name or config_name, task)
    except NotStarted:
        pass
    finally:
        GlobalHydra.instance().clear()


def _take_launchers_over() -> None:
    """Have our launchers' files count: Hydra would check them against the plugins' own options of the same names."""
    # Hydra keeps what plugins register for the whole process, in tests for all of them.
    theirs = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
    for file in (conf_dir() / "hydra" / "launcher").glob("*.yaml"):
        theirs.pop(file.name, None)


def _refuse_options(args: argparse.Namespace) -> None:
    if args.experimental_rerun:
        raise ConfigError("--experimental-rerun would load a pickle", "Run the same command again: it goes on.")
    if args.config_path:
        raise ConfigError(
            "--config-path would leave our groups out", "Add your own folder of groups: --config-dir FOLDER"
        )
    if args.cfg is None and (args.resolve or args.package):
        raise ConfigError("--resolve and --package go with --cfg", "For example: --cfg job --package model --resolve")
    if args.cfg and args.multirun:
        raise ConfigError("--cfg shows one run, -m runs several", "Leave one of them out.")


def _dispatch(hydra: Hydra, args: argparse.Namespace, name: str, task: Task) -> None:
    if args.hydra_help:
        hydra.hydra_help(config_name=name, args_parser=get_args_parser(), args=args)
    elif args.cfg:
        hydra.show_cfg(name, args.overrides, args.cfg, args.package, args.resolve)
    elif args.info:
        hydra.show_info(args.info, config_name=name, overrides=args.overrides)
    elif args.shell_completion:
        complete(hydra, name, args.overrides)
    else:
        _run_app(
            run=not args.multirun,
            multirun=args.multirun,
            # An experiment file may ask for a sweep by itself (`hydra.mode: MULTIRUN`).
            mode=None if args.multirun else hydra.get_mode(name, args.overrides),
            hydra=hydra,
            config_name=name,
            task_function=task,
            overrides=args.overrides,
        )


def _search_path(config_dir: str | None) -> ConfigSearchPath:
    path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir {config_dir} is not a folder", "Give the folder that holds your groups.")
        anchor = SearchPathQuery(provider="schema")
        path.prepend(provider="command-line", path=f"file://{Path(config_dir).absolute()}", anchor=anchor)
    return path
