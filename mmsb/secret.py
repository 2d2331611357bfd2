"""Keeps keys out of files and process lists: what looks like one, or is one of the environment's, is refused."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mmsb.errors import ConfigError
from mmsb.written import MISSING, parts, points

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
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
VARIABLES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
SHORTEST = 12  # characters; a shorter value of such a variable may be an ordinary word
TOLD = 8  # letters of a key in a row that must not be told
BLOT = "[key]"
URL_SAFE = str.maketrans("+/", "-_")
REMEDY = "Put it into an environment variable and give that variable's name, e.g. model.api_key_env=MY_KEY."


def named_variable(value: str | None, setting: str) -> str | None:
    """The name of an environment variable that holds a key, as a setting gives it.

    Raises:
        ConfigError: it is no such name, perhaps the key itself, which is not shown.
    """
    if value is not None and not VARIABLE.fullmatch(value):
        raise ConfigError(
            f"{setting} must be the name of an environment variable, in capitals; its value is not shown here",
            f"Put the key into a variable and give the variable's name, e.g. {setting}=OPENAI_API_KEY.",
        )
    return value


def key_in(variable: str | None) -> str | None:
    """The key that a variable holds; None where none is named, or it is not set."""
    # Read when it is needed and kept nowhere: no settings, fingerprint or record can hold it.
    return os.environ.get(variable, "").strip() or None if variable else None


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
    # By form and by value: keys of small providers have no form that anybody knows.
    return bool(KEY.search(text) or IN_URL.search(text)) or any(value in text for value in held)


def _of_the_environment() -> list[str]:
    values = [value.strip() for name, value in os.environ.items() if name.upper().endswith(VARIABLES)]
    return [value for value in values if len(value) >= SHORTEST]


def _texts(node: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Every text of a configuration with its full key and its name, interpolations resolved where they can be."""
    for name, value in parts(node):
        if not key and name == "hydra":  # it holds what was typed
            continue
        full = f"{key}.{name}".lstrip(".")
        if points(value):
            try:
                value = node[name]
            except OmegaConfBaseException:  # said when the setting is used
                continue
        if isinstance(value, str) and value != MISSING:
            yield full, str(name), value
        yield from _texts(value, full)


def blotted(text: str, key: str | None) -> str:
    """A text without any part of a key, plain, percent-encoded or in base64: servers repeat what they are sent.

    Args:
        text: what a server said.
        key: the key that it was sent; None for none.
    """
    if not key:
        return text
    if len(key) < TOLD:
        return text.replace(key, BLOT)
    parts, covered = _parts(key), [False] * len(text)
    for start in range(len(text) - TOLD + 1):
        if text[start : start + TOLD] in parts:
            covered[start : start + TOLD] = [True] * TOLD
    runs = zip(text, covered, [False, *covered], strict=False)
    return "".join(letter if not hidden else "" if before else BLOT for letter, hidden, before in runs)


def without_keys(content: bytes, key: str | None) -> bytes:
    """A reply without the whole key, plain or in base64, wherever it stands; a short one may be an ordinary word."""
    if key and len(key) >= SHORTEST:
        for form in forms(key):
            content = content.replace(form.encode(), BLOT.encode())
    return content


@lru_cache(maxsize=8)
def _parts(key: str) -> frozenset[str]:
    return frozenset(form[i : i + TOLD] for form in forms(key) for i in range(len(form) - TOLD + 1))


@lru_cache(maxsize=8)
def forms(key: str) -> tuple[str, ...]:
    """What a key looks like as it is, in a URL, and in base64 behind any other text ("user:KEY")."""
    raw = key.encode()
    encoded = [base64.b64encode(b"\0" * shift + raw).decode() for shift in range(3)]
    # of the ends of a base64 text only what the key alone determines
    inner = [text[(0, 2, 3)[shift] :].rstrip("=")[:-1] for shift, text in enumerate(encoded)]
    return tuple(dict.fromkeys((key, quote(key, safe=""), *inner, *(text.translate(URL_SAFE) for text in inner))))
