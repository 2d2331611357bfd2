"""A configuration as it is written: looked through without resolving an interpolation, which may read anything."""

from __future__ import annotations

from typing import Any

from omegaconf import Container, DictConfig, ListConfig

MISSING = "???"


def parts(node: Any) -> list[tuple[Any, Any]]:
    """What a node holds, each part under its key or place; none for a single value, and for what points elsewhere.

    Each of OmegaConf's own ways to a value costs tens of microseconds, and a configuration holds some hundred values.
    """
    if not isinstance(node, Container) or points(node) or node._is_none() or node._is_missing():
        return []
    if isinstance(node, DictConfig):
        return list(node.items_ex(resolve=False))
    assert isinstance(node, ListConfig)
    return list(enumerate(node._iter_ex(resolve=False)))


def points(value: Any) -> bool:
    """Whether a value is an interpolation, or a text with one in it."""
    return value._is_interpolation() if isinstance(value, Container) else isinstance(value, str) and "${" in value
