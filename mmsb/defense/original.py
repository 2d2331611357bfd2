"""Texts of a method's authors, read from the user's checkout of their repository. Parsed, never executed.

What a repository publishes as prompts stays out of ours; whoever has a checkout can run the method in its own words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmsb.errors import ConfigError


def constants(path: Path, places: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """String constants of a Python file, `{}` in each replaced by named places in their order.

    Args:
        path: the authors' file.
        places: by the constant's name, the names of what its `{}` stand for: {"TELL": ("query", "answer")}.

    Raises:
        ConfigError: the file cannot be read or parsed, lacks a constant, or one has other places.
    """
    found = dict(_assigned(_parsed(path)))
    return {name: _named(path, name, found.get(name), names) for name, names in places.items()}


def formatted(path: Path, places: tuple[str, ...]) -> str:
    """The one f-string in ASCII letters of a Python file that puts in exactly these names, as a template.

    Raises:
        ConfigError: the file cannot be read or parsed, or has no such f-string.
    """
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.JoinedStr):
            text, names = _template(node)
            # Their files hold the same words in Chinese as well, with the same places.
            if names == places and text.isascii():
                return text
    raise ConfigError(f"{path} has no text with {', '.join(places)}", "Give the file that the option's YAML names.")


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(
            f"original={path} cannot be read: {error}", "Give the file that the option's YAML names."
        ) from (error)


def _assigned(tree: ast.Module) -> Iterator[tuple[str, str]]:
    # The file's own level only: a function's text of the same name is another one.
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                yield name, text


def _named(path: Path, name: str, text: str | None, places: tuple[str, ...]) -> str:
    pieces = (text or "").split("{}")
    if text is None or len(pieces) != len(places) + 1:
        wanted = f"a text {name} with {len(places)} times {{}}"
        raise ConfigError(f"original={path} does not hold {wanted}", "Give the file that the option's YAML names.")
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
