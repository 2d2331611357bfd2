"""The classes that a `_target_` can name: those declared with `@settings`, under the path where they are declared.

A dotted path that leads through a module to anything else (`mmsb.convert.weights.torch.load`) names nothing: neither a
function, nor a class that another module merely imported, nor a class without `@settings`. Whether a path is a module
is looked up in the file system, so that a refused name runs no code.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from typing import Any, TypeVar

from mmsb.errors import ConfigError

T = TypeVar("T")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

in_use: set[str] = set()  # modules that a `_target_` has named; what they raise is told as theirs
_classes: dict[str, type] = {}  # by the path where they are declared


def register(cls: type[T]) -> type[T]:
    """Let `_target_` name this class."""
    _classes[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return cls


def find(target: object, key: str, packages: Sequence[str]) -> type:
    """The registered class that a `_target_` names.

    Args:
        target: the dotted path.
        key: where it stands in the configuration, for the error.
        packages: the packages that the class may be declared in.

    Raises:
        ConfigError: it names no class that may be named.
    """
    named = f"{key}._target_={target}".lstrip(".")
    if not isinstance(target, str) or not DOTTED.fullmatch(target):
        raise ConfigError(f"{named} is not allowed: it is no dotted path of a class", "Write package.module.Class.")
    module, _, name = target.rpartition(".")
    if not within(module, packages):
        raise ConfigError(
            f"{named} is not allowed: targets come from {', '.join(packages)}",
            "Name a package of your own in trusted_packages=[...] if you mean to run its code.",
        )
    found = attribute(module, name, named)
    cls = _classes.get(target)
    # Both: a name that merely points to a registered class from elsewhere is not where it is declared.
    if cls is None or found is not cls:
        raise ConfigError(
            f"{named} is not allowed: there is no class of settings {name} in {module}", _remedy(found, name, module)
        )
    in_use.add(module)
    return cls


def attribute(module: str, name: str, named: str) -> Any:
    """What a module holds under a name; None where there is no such module. `named` says who asks, for the error.

    Raises:
        ConfigError: the module fails while it is imported.
    """
    # `import_module` would import the parents of a module that is not there, and so run their code.
    if module not in sys.modules and spec_of(module) is not None:
        _load(module, named)
    return vars(sys.modules[module]).get(name) if module in sys.modules else None


def within(module: str, packages: Sequence[str]) -> bool:
    """Whether a module is one of these packages or lies in one."""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def spec_of(module: str) -> ModuleSpec | None:
    """Where a module lies, found without importing any part of it; None where there is none."""
    top, *parts = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    path = top
    for part in parts:
        path = f"{path}.{part}"
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(path, spec.submodule_search_locations)
    return spec


def _load(module: str, named: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:  # a user's module may fail in any way
        raise ConfigError(
            f"{named}: {module} cannot be imported: {error or type(error).__name__}",
            "Correct it, or install what it needs.",
        ) from error


def _remedy(found: Any, name: str, module: str) -> str:
    if isinstance(found, type) and found in _classes.values():
        return f"That class is declared elsewhere: _target_={found.__module__}.{found.__qualname__}"
    if isinstance(found, type):
        return f"Declare {name} with @settings (mmsb.config.settings): a _target_ names nothing else."
    rule = "A _target_ names a class declared with @settings, by the module that declares it."
    if module not in sys.modules:
        return f"There is no module {module} in this folder, nor where PYTHONPATH leads. {rule}"
    return rule
