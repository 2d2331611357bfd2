"""What a composed configuration must hold to, before Hydra builds anything of it and before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmsb import targets
from mmsb.errors import ConfigError
from mmsb.override_rules import ONE, SEVERAL, refuse_lists
from mmsb.secret import refuse_secrets_in
from mmsb.written import parts, points

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

CALLBACKS = ("mmsb", "hydra", "hydra_plugins")
PLUGINS = ("hydra._internal.core_plugins", "hydra_plugins")
EXTRAS = {  # by what their targets begin with: the package that a launcher needs, and the extra that brings it
    "mmsb_joblib_launcher": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "mmsb_submitit_launcher": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "mmsb_ray_launcher": ("ray", "ray"),
}
FACTORIES = ("()", "class")  # how a logging configuration names code


def check_composed(config: DictConfig, config_name: str | None, loader: ConfigLoader) -> None:
    """Check a whole configuration, Hydra's part included.

    Raises:
        ConfigError: it names code of others, holds a secret, chooses several options where one is meant, changes the
            folder of each run, or holds settings of a defense or a scenario that no defense or scenario has.
    """
    # First: nothing else may look at a configuration that names code.
    refuse_foreign_code(config.hydra)
    if config.hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true: each run would keep a store of its own, and ask and pay for everything again",
            "Leave it out; output_dir=FOLDER is where everything is written.",
        )
    # An experiment file may hold the sweep itself, which no check of the command line sees.
    params = config.hydra.sweeper.get("params") or {}
    refuse_lists([f"{key}={value}" for key, value in params.items()])
    _refuse_listed_defaults(config, config_name, loader)
    refuse_secrets_in(config.hydra.job)  # its env_set
    check_job(config)


def check_job(config: DictConfig) -> None:
    """Check a configuration without Hydra's part: that of one run of a sweep, say.

    Raises:
        ConfigError: see `check_composed`.
    """
    if "experiment" in config:  # a file there that says nothing else is packed into its folder's name
        told = f"the file of this experiment has no effect: it sets {', '.join(map(str, config.experiment))} of nothing"
        raise ConfigError(told, "Begin it with the line: # @package _global_")
    refuse_nameless(config)
    refuse_secrets_in(config)
    if not str(config.get("output_dir", ".")).strip():
        raise ConfigError("output_dir is empty", "Name the folder that everything is written to: output_dir=outputs")


def refuse_foreign_code(hydra: DictConfig) -> None:
    """Refuse what Hydra would call for a configuration: only its own plugins and our callbacks are.

    Raises:
        ConfigError: naming the key and what it names.
    """
    for key, target in _named(hydra, "hydra", "_target_"):
        _, group, *rest = key.split(".")
        if group == "callbacks" and len(rest) == 1:
            _check_callback(key, target)
        elif not (group in ("launcher", "sweeper") and not rest and targets.within(str(target), PLUGINS)):
            raise ConfigError(
                f"{key}._target_={target} is not allowed", "Hydra builds its own plugins and our callbacks, no more."
            )
        elif (extra := EXTRAS.get(str(target).split(".")[1])) and targets.spec_of(extra[0]) is None:
            raise ConfigError(
                f"this launcher needs {extra[0]}, which is not installed", f"pip install 'mmsb[{extra[1]}]'"
            )
    for group in ("job_logging", "hydra_logging"):
        for name in FACTORIES:
            for key, target in _named(hydra.get(group), f"hydra.{group}", name):
                if name == "()" or not targets.within(str(target), ("logging",)):
                    raise ConfigError(f"{key}.{name}={target} is not allowed", "Use a class of Python's logging.")


def _check_callback(key: str, target: Any) -> None:
    named = f"{key}._target_={target}"
    module, _, name = str(target).rpartition(".")
    found = targets.attribute(module, name, named) if targets.within(module, CALLBACKS) else None
    if not (isinstance(found, type) and issubclass(found, Callback) and found.__module__ == module):
        raise ConfigError(f"{named} is not allowed", f"A callback is a class of {', '.join(CALLBACKS)}.")


def _named(node: Any, key: str, name: str) -> Iterator[tuple[str, Any]]:
    """Every value under `name`, with the key of the mapping that holds it."""
    for inner, value in parts(node):
        if isinstance(node, ListConfig):
            yield from _named(node[inner] if points(value) else value, f"{key}[{inner}]", name)
        elif inner == name:
            yield key, node[inner]
        elif points(value):
            # A text around it makes it a text. What is Hydra's own is looked at in its own place.
            if not isinstance(value, str) or value.startswith("${"):
                _refuse_pointer(node, inner, key)
        else:
            yield from _named(value, f"{key}.{inner!s}", name)


def _refuse_pointer(node: DictConfig, inner: Any, key: str) -> None:
    """Refuse a value of Hydra's that is a whole part of the run's configuration, which may name other code."""
    try:
        found = node[inner]
    except OmegaConfBaseException:
        return  # Hydra meets the same error, in its own words
    if isinstance(found, DictConfig | ListConfig):
        raise ConfigError(f"{key}.{inner} is taken from elsewhere in the configuration", "Write it out in its place.")


def _refuse_listed_defaults(config: DictConfig, config_name: str | None, loader: ConfigLoader) -> None:
    """The same for a list in a file's defaults: Hydra notes no choice for it, as for a group that was taken out."""
    unclear = [group for group in ONE if group in config and group not in config.hydra.runtime.choices]
    if not unclear:
        return
    found = loader.compute_defaults_list(config_name, list(config.hydra.overrides.task), RunMode.MULTIRUN)
    parts = [(str(one.config_path).rpartition("/")[0], one.package, one.parent) for one in found.defaults]
    for (group, package, parent), count in Counter(parts).items():
        if count > 1 and group in unclear and package == group:
            raise ConfigError(
                f"{parent} chooses {count} options of {group}, which takes one",
                f"Name one there; for one run each put {group}: a,b under hydra.sweeper.params.",
            )


def refuse_nameless(config: DictConfig) -> None:
    """Refuse a setting that stands in a group of several without a name: nothing would read it.

    Raises:
        ConfigError: naming the key as it must be written.
    """
    for group in SEVERAL:
        node = config.get(group)
        for name in map(str, node) if isinstance(node, DictConfig) else ():
            if not OmegaConf.is_missing(node, name) and not isinstance(node[name], DictConfig):
                raise nameless(f"{group}.{name}", node[name], node)


def nameless(key: str, value: object, node: Any) -> ConfigError:
    """What to say about `defense.text_file=my.txt`: that it is `defense.NAME.text_file=my.txt`."""
    group, _, rest = key.partition(".")
    chosen = [str(name) for name in node if isinstance(node.get(name), DictConfig)] if node is not None else []
    chosen = [name for name in chosen if name != "none"]
    names = chosen[:3] or ["NAME"]
    written = " or ".join(f"{group}.{name}.{rest}={value}" for name in names)
    choose = "" if chosen else f", and choose it: {group}=NAME"
    return ConfigError(f"{key}={value}: the settings of each {group} stand under its name", f"Write {written}{choose}.")
