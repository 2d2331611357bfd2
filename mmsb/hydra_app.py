"""Hydra, driven as `hydra.main` drives it, with two differences.

What it composed is checked before anything of it is built or written, and options such as -m may stand anywhere
between the settings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_app, create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from mmsb import __version__
from mmsb.config_rules import check_composed, refuse_lists, refuse_unreadable
from mmsb.errors import ConfigError
from mmsb.paths import conf_dir

Task = Callable[[DictConfig], None]


class CheckedHydra(Hydra):
    """Hydra, that checks what it composes; and a sweep as a whole, before its first run."""

    before_sweep: Callable[[DictConfig], None] | None = None

    def multirun(self, config_name: str | None, task_function: Any, overrides: list[str], *args: Any, **kw: Any) -> Any:
        """Run a sweep.

        Raises:
            ConfigError: it cannot run as a whole.
        """
        if self.before_sweep:
            mode = RunMode.MULTIRUN
            self.before_sweep(self.compose_config(config_name, overrides, run_mode=mode))
        return super().multirun(config_name, task_function, overrides, *args, **kw)

    def compose_config(self, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any) -> DictConfig:
        """The configuration.

        Raises:
            ConfigError: it may not be run; see `mmsb.config_rules`.
        """
        refuse_lists(overrides)
        config = super().compose_config(config_name, overrides, *args, **kwargs)
        if config_name is not None:  # None: Hydra's own help
            check_composed(config, config_name, self.config_loader)
        return config


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's options and the settings (`overrides`) of a command line, in any order."""
    parser = get_args_parser()
    for action in parser._actions:
        if action.dest == "version":
            action.version = f"mmsb {__version__}"  # type: ignore[attr-defined]
    return parser.parse_intermixed_args(list(arguments))


def run_hydra(args: argparse.Namespace, config_name: str, task: Task, before_sweep: Task | None = None) -> None:
    """Compose and run, or show what Hydra is asked to show.

    Raises:
        ConfigError: options that do not go together, or a configuration that may not be run.
    """
    _refuse_options(args)
    refuse_unreadable(args.overrides)
    version.setbase("1.3")
    GlobalHydra.instance().clear()
    hydra = CheckedHydra.create_main_hydra2("mmsb", _search_path(args.config_dir))
    assert isinstance(hydra, CheckedHydra)
    hydra.before_sweep = before_sweep
    try:
        _dispatch(hydra, args, args.config_name or config_name, task)
    finally:
        GlobalHydra.instance().clear()


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
        hydra.shell_completion(config_name=name, overrides=args.overrides)
    else:
        _run_app(
            run=not args.multirun,
            multirun=args.multirun,
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
