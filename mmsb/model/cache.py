"""A cache of keys and values that grows in place.

transformers' own is joined anew at every token: each layer's keys and values, of the whole batch, are copied to hold
one column more. Here a layer keeps room behind the last column, and a token is written there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

ROOM = 64  # columns added at a time: a copy for each 64 tokens, and seldom much memory that no token comes to fill


def growing_cache(model: Any, settled: Mapping[str, Any]) -> dict[str, Any]:
    """What `generate` takes in place of the cache that it would make; empty where it shall make its own.

    Args:
        model: a causal language model of transformers, or one around it that answers `generate`.
        settled: the arguments of `generate`.
    """
    if not _plain(settled) or not _takes_cache(model):
        return {}
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    kept = DynamicCache(config=model.config.get_text_config(decoder=True))
    # Exactly this kind: others keep a window, or states that do not grow, and have their own way.
    growing = partial(_layer(), min(ROOM, settled["max_new_tokens"]))
    kept.layers = [growing() if type(layer) is DynamicLayer else layer for layer in kept.layers]
    return {"past_key_values": kept}


def _plain(settled: Mapping[str, Any]) -> bool:
    """Whether nothing is said of the cache, and no beams: these pick and copy their rows at every token anyway."""
    said = {"cache_implementation", "use_cache", "past_key_values", "prompt_lookup_num_tokens", "assistant_model"}
    return not said & settled.keys() and (settled.get("num_beams") or 1) == 1


def _takes_cache(model: Any) -> bool:
    config = model.generation_config
    return (
        not model.config.is_encoder_decoder
        and config.cache_implementation is None
        and "past_key_values" in inspect.signature(model.forward).parameters
    )


@cache
def _layer() -> type:
    """The kind of a layer's cache; made when it is asked for, since transformers takes seconds to come."""
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values [rows, heads, columns, size]: the part that is filled of buffers with more columns."""

        def __init__(self, room: int) -> None:
            """Nothing is kept yet; `room` columns are added at a time."""
            super().__init__()
            self.keys: Any
            self.values: Any
            self._room = room

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            """Write new columns behind the others; gives all of them."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            self.keys = self._keys.joined(self.keys, key_states)
            self.values = self._values.joined(self.values, value_states)
            return self.keys, self.values

        def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
            """Nothing is kept yet."""
            super().lazy_initialization(key_states, value_states)
            self._keys, self._values = _Buffer(self._room), _Buffer(self._room)

    return GrowingLayer


class _Buffer:
    """A tensor [rows, heads, columns, size] with room behind the columns that were handed out last."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.whole: Any = None
        self.filled: Any = None

    def joined(self, kept: Any, new: Any) -> Any:
        """`kept` and `new` side by side: without a copy where `kept` is what was handed out last and there is room."""
        start = kept.shape[-2] if kept.numel() else 0
        end = start + new.shape[-2]
        # Whoever picks, repeats or crops rows puts a tensor of his own in the layer: that one counts.
        if kept is not self.filled or end > self.whole.shape[-2]:
            self.whole = new.new_empty((*new.shape[:-2], end + self.room, new.shape[-1]))
            if start:
                self.whole[..., :start, :] = kept
        self.whole[..., start:end, :] = new
        self.filled = self.whole[..., :end, :]
        return self.filled
