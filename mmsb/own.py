"""Classes of a user's own: what they lack of what is asked of them, said before anything is asked of a model."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Collection, Iterator
from typing import Any, get_args

from mmsb.errors import ConfigError, MmsbError

OURS = ("mmsb", "hydra_plugins")
SHORT = 200  # characters of what an exception says
GROUPS = {"Engine": "model", "Judge": "judge"}  # whose options are these


def types_in(annotation: Any) -> Iterator[type]:
    """Every class that a type names: of `dict[str, A | B]` dict, str, A and B."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from types_in(part)


def chosen(key: str, value: str, group: str) -> str:
    """How an option of a group is chosen in another part: `judge.model=vllm` put its name there instead."""
    told = f"choose an option of the group with {group}@{key}={value}"
    return f"{told} (for one more +{group}@{key}={value})" if group == "judge" else told


def lacking(value: object, wanted: type, key: str) -> str:
    """What keeps a value from being a judge, a defense, an engine: the parts of that protocol that it has not."""
    place = f"{wanted.__module__}.{wanted.__qualname__}"
    if isinstance(value, str) and (group := GROUPS.get(wanted.__name__)):
        return f"{value} is a word, and a {place} is meant; {chosen(key, value, group)}"
    if isinstance(value, dict | list | str | int | float | None):
        return f"nothing here names a class by _target_, and a {place} is meant"
    absent = [name for name in _parts(wanted) if not hasattr(value, name)]
    return f"{type(value).__name__} has no {', no '.join(absent)}, as a {place} has"


def refuse_plain(value: object, key: str, *names: str) -> None:
    """Refuse a flow that is an ordinary function: it would be awaited only when the first answer is there.

    Raises:
        ConfigError: naming it.
    """
    for name in names:
        method = getattr(type(value), name, None)
        if inspect.isfunction(method) and not inspect.iscoroutinefunction(method):
            problem = f"{key}={getattr(value, 'name', '')}: {type(value).__name__}.{name} is no flow"
            raise ConfigError(problem, f"Declare it with async: async def {name}(...)")


def refuse_given(found: object, wanted: type, who: object, name: str) -> None:
    """Refuse what a flow gave back, if it is of another class.

    Raises:
        ConfigError: naming both.
    """
    if not isinstance(found, wanted):
        problem = f"{type(who).__name__}.{name} gave {str(found)[:SHORT]!r}, where a {wanted.__name__} is meant"
        raise ConfigError(problem, f"Return a {wanted.__module__}.{wanted.__name__}.")


def broken(error: BaseException, modules: Collection[str]) -> MmsbError | None:
    """An exception that a class of one of these modules raised, as an error for people; None where other code did.

    What they call of a library's is theirs; what they call of ours is not.
    """
    if isinstance(error, MmsbError):
        return None
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] in OURS:
            return None
        if name in modules:
            problem = f"{frame.f_code.co_filename}, line {line}: {type(error).__name__}: {str(error)[:SHORT]}"
            return MmsbError(problem, "Correct it; HYDRA_FULL_ERROR=1 shows the whole stack.")
    return None


def _parts(wanted: type) -> list[str]:
    bases = [base for base in wanted.__mro__ if getattr(base, "_is_protocol", False)]
    return list(dict.fromkeys(name for base in bases for name in vars(base) if name == "__call__" or name[0] != "_"))
