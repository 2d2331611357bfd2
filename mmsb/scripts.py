"""Texts in the Python scripts of a user's checkout of somebody else's repository: parsed, and never run.

What a repository publishes as prompts stays out of ours; whoever has a checkout can use the authors' own words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmsb.errors import ConfigError


def parsed(path: Path, setting: str, remedy: str) -> ast.Module:
    """A script as a tree.

    Args:
        path: the script.
        setting: what names it, for the error.
        remedy: what to do where it is no script.

    Raises:
        ConfigError: it cannot be read or parsed.
    """
    try:
        # Never imported: it would run, with whatever it imports.
        return ast.parse(path.read_text(encoding="utf-8-sig"))
    # A NUL byte is a ValueError up to Python 3.11, and brackets a thousand deep are no SyntaxError either.
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{setting}={path} cannot be read: {error}", remedy) from error


def texts(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """(name, text) of each string that is given a name."""
    for node in nodes:
        match node:
            # A constant alone: an f-string or a sum of strings would have to be run to be known.
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                yield name, text
