"""Keeps keys out of files and process lists: what looks like one, or is one of the environment's, is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmsb.errors import ConfigError

NAMES = (
    r"(?:api[_-]?key|apikey|password|passwd|secret|access[_-]?token|auth[_-]?token|authorization"
    r"|access[_-]?key|private[_-]?key)"
)
KEY = re.compile(
    r"\b(sk-[\w-]{16,}|hf_\w{16,}|AKIA\w{12,}|gh[pousr]_\w{20,}|xox[bap]-\w{10,}|glpat-[\w-]{16,}|AIza[\w-]{30,})"
)
NAMED = re.compile(rf"^[+~]*[\w.@/-]*{NAMES}=|[{{,]\s*['\"]?[\w-]*{NAMES}['\"]?\s*:", re.IGNORECASE)
NAME = re.compile(rf"[\w-]*{NAMES}", re.IGNORECASE)
IN_URL = re.compile(rf"://[^/@\s]+@|://\S*[?&](?:[\w-]*{NAMES}|key|token|sig|signature)=", re.IGNORECASE)
VARIABLES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
SHORTEST = 12  # characters; a shorter value of such a variable may be an ordinary word
REMEDY = "Put it into an environment variable and give that variable's name, e.g. model.api_key_env=MY_KEY."


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Stop before a key typed on the command line gets into a file.

    Raises:
        ConfigError: naming the argument's key, never its value.
    """
    held = _of_the_environment()
    for argument in arguments:
        if NAMED.search(argument) or is_secret(argument, held):
            key, equals, _ = argument.partition("=")
            named = key if equals and not is_secret(key, held) and "{" not in key else "an argument"
            raise ConfigError(
                f"{named} looks like a secret; secrets on a command line end up in files and process lists", REMEDY
            )


def refuse_secrets_in(config: DictConfig) -> None:
    """Stop before a key in a composed configuration (a YAML of the user's own, an interpolation) gets into a file.

    Raises:
        ConfigError: naming the key in the configuration, never its value.
    """
    held = _of_the_environment()
    for key, name, value in _texts(config):
        if value and (is_secret(value, held) or NAME.fullmatch(name)):
            raise ConfigError(f"{key} looks like a secret; a configuration is written to files", REMEDY)


def is_secret(text: str, held: Sequence[str]) -> bool:
    """Whether a text has a key of a known form, a URL with a key in it, or one of the values that are `held` secret."""
    return bool(KEY.search(text) or IN_URL.search(text)) or any(value in text for value in held)


def _of_the_environment() -> list[str]:
    values = [value.strip() for name, value in os.environ.items() if name.upper().endswith(VARIABLES)]
    return [value for value in values if len(value) >= SHORTEST]


def _texts(node: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Every text of a configuration with its full key and its name, interpolations resolved where they can be."""
    if isinstance(node, DictConfig):
        children = [(str(name), name) for name in node if key or name != "hydra"]  # Hydra's part holds what was typed
    elif isinstance(node, ListConfig):
        children = [(str(place), place) for place in range(len(node))]
    else:
        return
    for name, place in children:
        full = f"{key}.{name}".lstrip(".")
        if OmegaConf.is_missing(node, place):
            continue
        try:
            value = node[place]
        except OmegaConfBaseException:  # said when the setting is used
            continue
        if isinstance(value, str):
            yield full, name, value
        yield from _texts(value, full)
