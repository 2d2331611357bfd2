"""Published weight names turned into those of a graph. Every key must be known: none is dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmsb.convert.source import Sources
from mmsb.errors import ModelError

Rules = Sequence[tuple[str, str | None]]


def rename(key: str, rules: Rules, entry: str) -> str | None:
    """The key's name in the graph, by the first rule whose expression matches the whole key; None drops it.

    Raises:
        ModelError: no rule matches.
    """
    for pattern, replacement in rules:
        # The whole key: a rule that matched a part of it would take weights it was not written for.
        if match := re.fullmatch(pattern, key):
            return None if replacement is None else match.expand(replacement)
    raise ModelError(
        f"{entry}: the published file holds a weight that is not known: {key}",
        "Check that it is the file that the model's `source` names.",
    )


def renamed(tensors: Iterable[tuple[str, Any]], rules: Rules, entry: str) -> Iterator[tuple[str, Any]]:
    """Weights under their names in the graph.

    Raises:
        ModelError: a key that no rule matches.
    """
    for key, tensor in tensors:
        name = rename(key, rules, entry)
        if name is not None:
            yield name, tensor


def parted(
    weights: Iterable[tuple[str, Any]], thirds: Callable[[Any], Iterable[Any]] = lambda joined: joined.chunk(3)
) -> Iterator[tuple[str, Any]]:
    """Weights with each joined `self_attn.qkv` as three, `q_proj`, `k_proj` and `v_proj`; `thirds` takes it apart."""
    for key, tensor in weights:
        if ".self_attn.qkv." in key:
            for name, part in zip("qkv", thirds(tensor), strict=True):
                yield key.replace(".qkv.", f".{name}_proj."), part.contiguous()
        else:
            yield key, tensor


def renamed_entries(sources: Sources, rules: Mapping[str, Rules], entries: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Weights of several published files, one file after another, under their names in the graph."""
    for entry in entries:
        yield from renamed(sources.tensors(entry), rules[entry], entry)
