"""Texts of a method's authors as templates, from the user's checkout of their repository (`mmsb.scripts`)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from mmsb.errors import ConfigError
from mmsb.scripts import parsed, texts

HINT = "Give the file that the option's YAML names."


def constants(path: Path, places: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """String constants of a Python file, `{}` in each replaced by named places in their order.

    Args:
        path: the authors' file.
        places: by the constant's name, the names of what its `{}` stand for: {"TELL": ("query", "answer")}.

    Raises:
        ConfigError: the file cannot be read or parsed, lacks a constant, or one has other places.
    """
    # The file's own level only: a function's text of the same name is another one.
    found = dict(texts(parsed(path, "original", HINT).body))
    return {name: _named(path, name, found.get(name), names) for name, names in places.items()}


def formatted(path: Path, places: tuple[str, ...]) -> str:
    """The one f-string in ASCII letters of a Python file that puts in exactly these names, as a template.

    Raises:
        ConfigError: the file cannot be read or parsed, or has no such f-string.
    """
    for node in ast.walk(parsed(path, "original", HINT)):
        if isinstance(node, ast.JoinedStr):
            text, names = _template(node)
            # Their files hold the same words in Chinese as well, with the same places.
            if names == places and text.isascii():
                return text
    raise ConfigError(f"{path} has no text with {', '.join(places)}", HINT)


def _named(path: Path, name: str, text: str | None, places: tuple[str, ...]) -> str:
    pieces = (text or "").split("{}")
    if text is None or len(pieces) != len(places) + 1:
        wanted = f"a text {name} with {len(places)} times {{}}"
        raise ConfigError(f"original={path} does not hold {wanted}", HINT)
    # Named, since `fill` knows places by their names and braces in an answer must stay what they are.
    return pieces[0] + "".join(f"{{{place}}}{piece}" for place, piece in zip(places, pieces[1:], strict=True))


def _template(node: ast.JoinedStr) -> tuple[str, tuple[str, ...]]:
    text, names = "", []
    for part in node.values:
        match part:
            case ast.Constant(value=str(piece)):
                text += piece
            case ast.FormattedValue(value=ast.Name(id=name)):
                text += f"{{{name}}}"
                names.append(name)
    return text, tuple(names)
