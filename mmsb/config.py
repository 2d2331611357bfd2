"""From composed YAML to typed frozen objects, once, at the door. Nothing below sees a DictConfig.

Every class that a YAML names by `_target_` is declared with `@settings`: a frozen dataclass whose types
pydantic checks. The errors name the full key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast, dataclass_transform

import pydantic
import pydantic.dataclasses
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmsb.errors import ConfigError
from mmsb.paths import PACKAGE

T = TypeVar("T")
TARGET_PACKAGES = ("mmsb",)

OmegaConf.register_new_resolver("mmsb.package", lambda path: str(PACKAGE / path), replace=True)
# Cached like Hydra's `now`: all jobs of a sweep see one token, and two commands of one second see two.
OmegaConf.register_new_resolver("mmsb.token", lambda: secrets.token_hex(2), replace=True, use_cache=True)
OmegaConf.register_new_resolver("mmsb.when", lambda value, text: text if value else "", replace=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, pydantic.Field))
def settings(cls: type[T]) -> type[T]:
    """Declare a class of settings: frozen, keyword-only, types checked, unknown keys refused."""
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)(cls)
    return cast("type[T]", made)


def build(config: DictConfig, kind: type[T], packages: Sequence[str] = TARGET_PACKAGES) -> T:
    """Build the typed object that `config` (with a root `_target_`) describes.

    Args:
        config: the composed configuration.
        kind: the class the root must be of.
        packages: the top-level packages a `_target_` may come from.

    Raises:
        ConfigError: naming the key, the value, and what is allowed.
    """
    _check_missing(config)  # an interpolation to a missing value raises OmegaConf's own error
    for key, target in _targets(config):
        if target.partition(".")[0] not in packages:
            raise ConfigError(
                f"{key}._target_={target} is not allowed: targets come from {', '.join(packages)}",
                "Name a package of your own in trusted_packages=[...] if you mean to run its code.",
            )
    try:
        built = instantiate(config, _convert_="all")
    except InstantiationException as error:
        raise _readable(error, config) from error
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0], "Check the configuration with --cfg job.") from error
    if not isinstance(built, kind):
        raise ConfigError(f"the configuration builds a {type(built).__name__}, not a {kind.__name__}")
    return built


def _check_missing(config: DictConfig) -> None:
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        wanted = " ".join(f"{key}=..." for key in missing)
        raise ConfigError(f"no value for {', '.join(missing)}", f"Add {wanted} to the command.")


def _targets(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, DictConfig):
        for name, value in node.items():
            if name == "_target_":
                yield key, str(value)
            else:
                yield from _targets(value, f"{key}.{name!s}".lstrip("."))
    elif isinstance(node, ListConfig):
        for index, value in enumerate(node):
            yield from _targets(value, f"{key}[{index}]")


def _readable(error: InstantiationException, config: DictConfig) -> ConfigError:
    """The same error in words: one line a problem, each with its full key."""
    prefix = str(error).rpartition("full_key: ")[2].strip() if "full_key: " in str(error) else ""
    cause = error.__cause__
    if isinstance(cause, ConfigError):
        return cause
    if not isinstance(cause, pydantic.ValidationError):
        reason = cause or str(error).splitlines()[0]
        return ConfigError(f"{prefix or 'the configuration'} cannot be built: {reason}", "Check it with --cfg job.")
    node = OmegaConf.select(config, prefix) if prefix else config
    allowed = [field.name for field in dataclasses.fields(get_class(node._target_))]
    problems = [_problem(detail, prefix, allowed) for detail in cause.errors()]
    return ConfigError("\n".join(problems), "See the whole configuration with --cfg job, the options with --help.")


def _problem(detail: Any, prefix: str, allowed: Sequence[str]) -> str:
    key = ".".join(str(part) for part in (*filter(None, [prefix]), *detail["loc"]))
    if detail["type"] == "unexpected_keyword_argument":
        return f"{key} is not a setting; {suggestion(str(detail['loc'][-1]), allowed)}"
    if detail["type"] in ("missing", "missing_argument"):
        return f"{key} has no value"
    return f"{key}={detail['input']!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def suggestion(wrong: str, allowed: Sequence[str]) -> str:
    """`did you mean ...?` where something is near, and always the whole list."""
    near = difflib.get_close_matches(wrong, allowed, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"
