"""One safetensors checkpoint, written shard by shard. A conversion that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmsb.errors import ModelError
from mmsb.model.composed.checkpoint import missing, refuse

SHARD_BYTES = 2_000_000_000
INDEX = "model.safetensors.index.json"


def write_weights(
    folder: Path, weights: Iterable[tuple[str, Any]], wanted: Mapping[str, Any], may_miss: Iterable[str] = ()
) -> int:
    """Write weights into shards of `folder`, and their index last; shards that are there already are kept.

    Args:
        folder: where the shards go.
        weights: key and tensor, in an order that does not change.
        wanted: the shape of every key of the graph.
        may_miss: patterns of keys that need not come.

    Returns:
        Bytes of all weights.

    Raises:
        ModelError: a key that is not wanted, comes twice, has another shape, or is missing at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = written(folder)
    number = len(set(index.values()))
    seen: set[str] = set()
    for shard in shards(only_new(weights, index, wanted, seen)):
        number += 1
        # Without "of N", which transformers' own names have: how many there will be is not known while they are
        # written.
        name = f"model-{number:05d}.safetensors"
        # a shard under its final name is whole, and is not made again after a kill
        draft = folder / f".{name}.tmp"
        save_file(shard, draft, metadata={"format": "pt"})
        draft.replace(folder / name)
        index |= dict.fromkeys(shard, name)
    refuse(folder.name, "missing", missing(wanted, seen, may_miss))
    total = sum((folder / name).stat().st_size for name in set(index.values()))
    content = {"metadata": {"total_size": total}, "weight_map": index}
    # After the shards: it is by these that a resumed conversion goes.
    (folder / INDEX).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return total


def written(folder: Path) -> dict[str, str]:
    """Keys of the shards that are complete, each with its shard's name."""
    index: dict[str, str] = {}
    for path in sorted(folder.glob("model-*.safetensors")):
        with safe_open(path, framework="pt") as shard:
            # Read from the shards, not from a list beside them: what a killed conversion really wrote.
            index |= dict.fromkeys(shard.keys(), path.name)
    return index


def only_new(
    weights: Iterable[tuple[str, Any]], index: Mapping[str, str], wanted: Mapping[str, Any], seen: set[str]
) -> Iterator[tuple[str, Any]]:
    """Check each weight against the graph; pass on those that no shard holds yet."""
    for key, tensor in weights:
        if key not in wanted or key in seen:
            raise ModelError(f"{key} is not a weight of this model" if key not in wanted else f"{key} comes twice")
        # a wrong file mostly shows here, before gigabytes are written
        if tensor.shape != wanted[key]:
            raise ModelError(f"{key} has shape {list(tensor.shape)}; this model has {list(wanted[key])}")
        seen.add(key)
        if key not in index:
            yield key, tensor


def shards(weights: Iterable[tuple[str, Any]]) -> Iterator[dict[str, torch.Tensor]]:
    """Weights in groups of about SHARD_BYTES."""
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for key, tensor in weights:
        # safetensors refuses views that share storage; a clone is freed with its shard
        shard[key] = tensor.clone(memory_format=torch.contiguous_format)
        size += tensor.nbytes
        if size >= SHARD_BYTES:
            yield shard
            shard, size = {}, 0
    if shard:
        yield shard
