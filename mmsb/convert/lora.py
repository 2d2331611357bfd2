"""LoRA deltas and retrained weights, put into the weights that they change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from mmsb.errors import ModelError

DELTA = re.compile(r"(.*)\.lora_(A|B)(?:\.\w+)?\.weight")  # with and without the adapter's name: both spellings exist


def merge(weight: Any, down: Any, up: Any, alpha: float) -> Any:
    """`weight` [out, in] + alpha / rank * up [out, rank] @ down [rank, in], computed in float32."""
    # in half precision the product loses what a small delta changes
    delta = up.float() @ down.float() * (alpha / down.shape[0])
    return (weight.float() + delta).to(weight.dtype)


def adapted(weights: Iterable[tuple[str, Any]], changes: Iterable[tuple[str, Any]], alpha: float) -> Iterator[Any]:
    """Weights with their changes: deltas (`*.lora_A`, `*.lora_B`) merged, others replaced.

    Raises:
        ModelError: a change that belongs to no weight, or half a delta.
    """
    deltas: dict[str, dict[str, Any]] = {}
    replaced: dict[str, Any] = {}
    for key, tensor in changes:
        if match := DELTA.fullmatch(key):
            deltas.setdefault(f"{match[1]}.weight", {})[match[2]] = tensor
        else:
            replaced[key] = tensor
    for key, tensor in weights:
        # popped: what is left at the end belongs to no weight, and is an error
        tensor = replaced.pop(key, tensor)
        delta = deltas.pop(key, None)
        if delta is None:
            yield key, tensor
        elif len(delta) == 2:
            yield key, merge(tensor, delta["A"], delta["B"], alpha)
        else:
            raise ModelError(f"half of the delta for {key} is missing", "Download the adapter's file again.")
    # Silently left out, the checkpoint would be the base model under the fine-tune's name.
    if left := sorted([*deltas, *replaced]):
        raise ModelError(f"the adapter changes weights that do not exist: {', '.join(left[:8])}")
