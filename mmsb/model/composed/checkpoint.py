"""Converted checkpoints: `config.json`, the tokenizer's files and safetensors.

Loading is strict: any key or shape that does not match stops it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file
from transformers import AutoTokenizer

from mmsb.errors import ModelError
from mmsb.model.composed.batch import Loaded

if TYPE_CHECKING:
    from mmsb.model.composed.base import Composed

CONFIG = "config.json"
SHOWN = 8  # keys named in an error


def empty(model: Composed, parts: Mapping[str, Any]) -> Any:
    """The graph with parameters on the meta device; buffers that no checkpoint holds are real."""
    # No memory for weights that are about to be replaced: 17 billion of them would be made by lot first.
    with init_empty_weights(include_buffers=False):
        return model.build(parts)


def open_checkpoint(model: Composed, folder: Path, device: str) -> Loaded:
    """The graph with its weights on `device`, ready to answer.

    Raises:
        ModelError: a checkpoint of another model, or keys that do not match.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    # Two models of this family may fit each other's keys; the answers would be another system's.
    if config.get("mmsb_model") != type(model).__name__:
        raise ModelError(f"{folder} is a checkpoint of {config.get('mmsb_model')}, not of {type(model).__name__}")
    net = empty(model, config["parts"])
    fill(net, sorted(folder.glob("*.safetensors")), getattr(torch, model.dtype), device, model.MAY_MISS)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.padding_side = "left"
    # Padding is masked; which token it is matters only where answers are read, which drops it.
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Loaded(net.to(device).eval(), tokenizer, config["parts"])


def fill(net: Any, files: Iterable[Path], dtype: torch.dtype, device: str, may_miss: Iterable[str]) -> None:
    """Put the weights of safetensors files into an empty graph.

    Raises:
        ModelError: naming the keys that are missing, unexpected or of another shape.
    """
    shapes = {key: tensor.shape for key, tensor in net.state_dict().items()}
    seen: set[str] = set()
    for file in files:
        weights = load_file(file, device=device)
        refuse(file, "unexpected", (key for key in weights if key not in shapes or key in seen))
        refuse(file, "of another shape", (key for key in weights if weights[key].shape != shapes[key]))
        cast = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
        # File by file, so `strict` cannot be asked of one; what is missing in all of them is refused at the end.
        net.load_state_dict(cast, strict=False, assign=True)
        seen |= weights.keys()
    refuse(net.__class__.__name__, "missing", missing(shapes, seen, may_miss))
    # `assign` gave the two names of a tied weight to different tensors, or left one of them empty.
    net.language_model.tie_weights()
    # An empty buffer computes without an error and answers with what happens to lie in memory.
    for buffer_name, buffer in net.named_buffers():
        assert not buffer.is_meta, buffer_name


def missing(wanted: Iterable[str], seen: set[str], may_miss: Iterable[str]) -> list[str]:
    """Keys of the graph that no file holds, except those that may miss."""
    allowed = [re.compile(pattern) for pattern in may_miss]
    return [key for key in wanted if key not in seen and not any(pattern.fullmatch(key) for pattern in allowed)]


def refuse(where: object, what: str, keys: Iterable[str]) -> None:
    """Stop if there are any keys.

    Raises:
        ModelError: naming the first of them.
    """
    found = sorted(keys)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ModelError(
            f"{where}: {len(found)} weights are {what}: {', '.join(found[:SHOWN])}{more}",
            "Convert the published files again; if it stays so, they are not the ones this model was written for.",
        )
