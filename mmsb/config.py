"""From composed YAML to typed frozen objects, once, at the door. Nothing below sees a DictConfig.

Every class that a YAML names by `_target_` is declared with `@settings`: a frozen dataclass whose types pydantic
checks. These classes are all that a `_target_` can name. The errors name the full key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import secrets
from collections.abc import Sequence
from typing import Any, TypeVar, cast, dataclass_transform

import pydantic
import pydantic.dataclasses
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmsb import resolvers as resolvers  # registers what YAML interpolates
from mmsb import targets, texts
from mmsb.errors import ConfigError, MmsbError
from mmsb.gpus import side_by_side
from mmsb.own import lacking, types_in
from mmsb.paths import PACKAGE

T = TypeVar("T")
TARGET_PACKAGES = ("mmsb",)
SHOWN = 200  # characters of a wrong value
MISSING = ("missing", "missing_argument")
LISTS = ("tuple_type", "list_type")
GUIDES = "docs/own_judge.md and docs/own_defense.md show whole classes and their YAML; --help shows the options."
UNION = re.compile(
    r"(literal|constrained|lax-or-strict|is-instance|tuple|list|function)[-\[]|(int|str|float|bool|none)$"
)

OmegaConf.register_new_resolver("mmsb.package", lambda path: str(PACKAGE / path), replace=True)
# Cached like Hydra's `now`: all jobs of a sweep see one token, and two commands of one second see two.
OmegaConf.register_new_resolver("mmsb.token", lambda: secrets.token_hex(2), replace=True, use_cache=True)
OmegaConf.register_new_resolver(
    "mmsb.placed", lambda placement, own: own if placement == "own" else placement, replace=True
)
OmegaConf.register_new_resolver("mmsb.side_by_side", side_by_side, replace=True)
OmegaConf.register_new_resolver("mmsb.texts", texts.rows, replace=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, pydantic.Field))
def settings(cls: type[T]) -> type[T]:
    """Declare a class that `_target_` can name: frozen, keyword-only, types checked, unknown keys refused.

    A number is finite: no score is above a threshold that is none, and JSON sends null in its place.
    """
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
    made: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)(cls)
    return targets.register(cast("type[T]", made))


def build(config: DictConfig, kind: type[T], packages: Sequence[str] = TARGET_PACKAGES) -> T:
    """Build the typed object that `config` (with a root `_target_`) describes.

    Args:
        config: the composed configuration.
        kind: the class the root must be of.
        packages: the packages that a `_target_` may come from.

    Raises:
        ConfigError: naming the key, the value, and what is allowed.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        _check_missing(config)  # it names all, OmegaConf the first, or what is interpolated from one
        raise ConfigError(str(error).splitlines()[0], "Check the configuration with --cfg job.") from error
    built = build_plain(values, str(config._get_full_key(None)), kind, packages)
    # Last: of a class that such a package was to bring is told where that is named.
    for package in packages:
        if targets.spec_of(str(package)) is None:
            raise ConfigError(
                f"trusted_packages=[{package}]: there is no such package in this folder, nor where PYTHONPATH leads",
                "Correct its name, or leave it out.",
            )
    return built


def build_plain(values: object, key: str, kind: type[T], packages: Sequence[str] = TARGET_PACKAGES) -> T:
    """Build an object from plain values, those that a run recorded, say: no interpolation in them is followed.

    Args:
        values: a mapping with a `_target_`.
        key: where they stand, for errors.
        kind: the class it must be of.
        packages: the packages that a `_target_` may come from.

    Raises:
        ConfigError: naming the key, the value, and what is allowed.
    """
    built = _built(values, key, packages)
    if not isinstance(built, kind):
        told = f"{key or 'the configuration'} builds a {type(built).__name__}, not a {kind.__name__}"
        raise ConfigError(told, "A _target_ there names the class.")
    return built


def _check_missing(config: DictConfig) -> None:
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        wanted = " ".join(f"{key}=..." for key in missing)
        raise ConfigError(f"no value for {', '.join(missing)}", f"Add {wanted} to the command.")


def _built(node: Any, key: str, packages: Sequence[str]) -> Any:
    """A plain value with every mapping that has a `_target_` made into what it names, the innermost first.

    The class that was checked is the class that is called: no name is looked up twice, and no interpolation is left.
    """
    if isinstance(node, list):
        return [_built(value, f"{key}[{place}]", packages) for place, value in enumerate(node)]
    if not isinstance(node, dict):
        return node
    # Before its parts are built: a foreign class is refused before anything of it has had an effect.
    kind = targets.find(node["_target_"], key, packages) if "_target_" in node else None
    values = {
        name: _built(value, f"{key}.{name}".lstrip("."), packages) for name, value in node.items() if name != "_target_"
    }
    return _called(kind, values, key) if kind else values


def _called(kind: type, values: dict[str, Any], key: str) -> Any:
    types = {name: list(types_in(field.annotation)) for name, field in _fields(kind).items()}
    _refuse_truths(values, types, key)
    try:
        return kind(**values)
    except MmsbError:
        raise
    except pydantic.ValidationError as error:
        problems = list(dict.fromkeys(_problem(detail, key, types) for detail in error.errors()))
        lacking = [key for detail in error.errors() if detail["type"] in MISSING for key in [str(detail["loc"][-1])]]
        # Only where nothing else is wrong: what is missing is often missing because its name was mistyped beside it.
        if lacking and len(lacking) == len(problems):
            raise ConfigError("\n".join(problems), f"Add {' '.join(f'{key}=...' for key in lacking)}") from error
        own = all(detail["type"] == "is_instance_of" for detail in error.errors())
        raise ConfigError(
            "\n".join(problems),
            GUIDES if own else "See the whole configuration with --cfg job, the options with --help.",
        ) from error
    except Exception as error:  # a library's, or of a class of the user's own
        raise ConfigError(
            f"{key or 'the configuration'} cannot be built: {error or type(error).__name__}",
            "Check it with --cfg job; HYDRA_FULL_ERROR=1 shows where it was met.",
        ) from error


def _fields(kind: type) -> dict[str, Any]:
    return dict(getattr(kind, "__pydantic_fields__", {}))


def _refuse_truths(values: dict[str, Any], types: dict[str, list[type]], key: str) -> None:
    """Refuse true where a number is meant: Python, and so pydantic, takes it for 1."""
    for name, value in values.items():
        if isinstance(value, bool) and {int, float} & set(types.get(name, ())) and bool not in types[name]:
            told = f"{key}.{name}".lstrip(".")
            raise ConfigError(f"{told}={str(value).lower()}: a number is meant", f"Write {told}=NUMBER.")


def _problem(detail: Any, prefix: str, types: dict[str, list[type]]) -> str:
    # Where one of several types is taken, pydantic tells of each, and says in the place which it tried.
    place = [part for part in detail["loc"] if not UNION.match(str(part))]
    key = ".".join(str(part) for part in (*filter(None, [prefix]), *place))
    if detail["type"] == "unexpected_keyword_argument":
        inner = types.get(str(detail["loc"][0]), ()) if len(detail["loc"]) > 1 else ()
        allowed = [name for one in inner for name in _fields(one)] if inner else list(types)
        return f"{key} is not a setting; {suggestion(str(detail['loc'][-1]), allowed)}"
    if detail["type"] in MISSING:
        return f"{key} has no value"
    if detail["type"] == "is_instance_of":
        wanted = [one for one in types.get(str(detail["loc"][0]), ()) if one.__name__ == detail["ctx"]["class"]]
        if wanted:
            return f"{key}: {lacking(detail['input'], wanted[0], key)}"
    value = repr(detail["input"])
    if detail["type"] in LISTS and isinstance(detail["input"], str):
        return f"{key}={detail['input'][:SHOWN]}: a list is meant, {key}=[{detail['input'][:SHOWN]}]"
    value = value if len(value) <= SHOWN else f"{value[:SHOWN]}..."
    if detail["type"] == "string_type" and isinstance(detail["input"], int | float):
        return f"{key}={value}: a text is meant, '{key}=\"{value}\"'"
    return f"{key}={value}: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def suggestion(wrong: str, allowed: Sequence[str], rest: str = "") -> str:
    """`did you mean ...?` where something is near (with the rest of what was typed), and always the whole list."""
    near = difflib.get_close_matches(wrong, allowed, n=1)
    hint = f"did you mean {near[0]}{rest}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"
