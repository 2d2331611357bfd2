"""What a command's settings must hold to as they are typed: readable, options by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mmsb.errors import ConfigError
from mmsb.paths import conf_dir

ONE = (
    "dataset",
    "image_mode",
    "model",
    "judge",
    "tracker",
    "prices",
    "font",
    "generator",
    "experiment",
)  # options of a group
SEVERAL = ("scenario", "defense")  # each stands under its own name, so that several can be chosen


def refuse_unreadable(arguments: Sequence[str]) -> None:
    """Refuse what is no setting; Hydra's own errors do not always name the argument.

    Raises:
        ConfigError: naming it.
    """
    parser = OverridesParser.create()
    for argument in arguments:
        if ("=" not in argument and not argument.startswith("~")) or argument.startswith("="):
            raise ConfigError(f"{argument!r} is no setting", _meant(argument))
        try:
            parser.parse_override(argument)
        except HydraException as error:
            # What the grammar would have taken in its place are names of its tokens.
            told = str(error).strip().splitlines()[-2:][0]
            reason = "it ends too early" if "'<EOF>'" in told else re.sub(r" expecting \{.*", "", told)
            raise ConfigError(
                f"{argument!r} cannot be read: {reason}",
                "Quote a value that holds spaces, commas, brackets, quotes or letters beyond a to z: 'KEY=\"VALUE\"'.",
            ) from error


def _meant(word: str) -> str:
    """What somebody may have meant by a word without "="."""
    rule = "Settings are KEY=VALUE, without blanks; a value with spaces is quoted: 'KEY=\"A B\"'."
    if word in (*ONE, *SEVERAL):
        return f"{rule} Or give it a value: {word}=OPTION, one of {', '.join(options_of(word))}."
    near = [f"{group}={word}" for group in (*ONE, *SEVERAL) if word in options_of(group)]
    return f"Did you mean {' or '.join(near)}? {rule}" if near else rule


def options_of(group: str) -> list[str]:
    """The options of a group that are ours."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def replaced(arguments: Sequence[str]) -> Iterator[str]:
    """What to say of a setting that is given two values: Hydra takes the last, and nobody would miss the first."""
    given: dict[str, str] = {}
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if argument.startswith("~"):
            continue
        if (first := given.get(key, value)) != value:
            both = f"together: '{key}=[{first},{value}]', " if key in SEVERAL else ""
            yield f"{key}={value} takes the place of {key}={first} ({both}one run each: {key}={first},{value} -m)"
        given[key] = value


def refuse_lists(overrides: Sequence[str]) -> None:
    """Refuse a list of options for a group that takes one: Hydra would mix them, and the last one would win.

    Raises:
        ConfigError: naming the argument, and the sweep that was meant; or what is no option's name.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        group = key.lstrip("+~").partition("@")[0]
        if group not in (*ONE, *SEVERAL) or not value:
            continue
        parsed = OverridesParser.create().parse_override(override)
        if isinstance(parsed.value(), Glob):  # it meets names, whatever they are
            continue
        values = list(parsed.sweep_string_iterator()) if parsed.is_sweep_override() else [parsed.value()]
        for chosen in values:
            if group in SEVERAL:
                _check_several(override, group, _options(chosen), listed="[" in value)
            elif isinstance(chosen, list) or (isinstance(chosen, str) and chosen.startswith("[")):
                raise _takes_one(override, group, value)
            else:
                _check_name(override, group, chosen)


def _takes_one(override: str, group: str, value: str) -> ConfigError:
    options = value.replace("[", "").replace("]", "") or "A,B"
    return ConfigError(f"{override}: {group} takes one option", f"For one run each: {group}={options} -m")


def _options(chosen: Any) -> list[Any]:
    """The options of a choice; those of a sweep come as they are typed."""
    if isinstance(chosen, str) and chosen.startswith("["):
        chosen = OverridesParser.create().parse_override(f"x={chosen}").value()
    return chosen if isinstance(chosen, list) else [chosen]


def _check_several(override: str, group: str, names: Sequence[Any], listed: bool) -> None:
    """Refuse an option that is there twice: each stands under its own name, and so would be there once."""
    for name in names:
        _check_name(override, group, name, listed)
    if twice := [name for name, count in Counter(map(str, names)).items() if count > 1]:
        raise ConfigError(f"{override} names {twice[0]} twice", "Name each once.")
    if len(names) > 1 and group == "defense" and "none" in names:
        raise ConfigError(f"{override}: none stands alone", "Leave it out, or compare with it: defense=none,[A,B] -m")
    for name in names if len(names) > 1 else ():
        if inner := [other for other in names if other in _parts(group, str(name))]:
            raise ConfigError(f"{override}: {inner[0]} is in {name} already", f"Leave {inner[0]} out.")


@cache
def _parts(group: str, option: str) -> frozenset[str]:
    """The options that one of ours stands for: `harm` for eight scenarios."""
    path = conf_dir() / group / f"{option}.yaml"
    file = OmegaConf.load(path) if path.is_file() else None
    parts = [str(part) for part in file.get("defaults", [])] if isinstance(file, DictConfig) else []
    return frozenset(parts).union(*(_parts(group, part) for part in parts))


def _check_name(override: str, group: str, name: Any, listed: bool = False) -> None:
    """Refuse what Hydra finds under more names than one (tiny, /tiny, ./tiny, tiny.yaml), or stumbles over.

    Tables, MLflow and what is published of a judge go by the name.
    """
    if name is None and not listed:  # what is said of it elsewhere names the way out
        return
    odd = isinstance(name, str) and (name.endswith((".yaml", ".yml")) or not all(_plain(name)))
    if odd or not isinstance(name, str):
        shown = str(name).removesuffix(".yaml").removesuffix(".yml").strip("/.")
        meant = shown if shown in options_of(group) else "OPTION"
        raise ConfigError(
            f"{override}: {name} is no option's name",
            f"Write {group}={meant}{'' if meant == shown else ', one of ' + ', '.join(options_of(group))}",
        )


def _plain(name: str) -> Iterator[bool]:
    """Whether each part of a name is one; `guard/wildguard` has two."""
    return (part not in ("", ".", "..") for part in name.split("/")) if name else iter(())
