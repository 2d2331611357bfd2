"""How many tokens a local model's prompt has for a picture, before anything is loaded.

By the checkpoint's configuration where the number is always the same; where it depends on the picture's size, by what
the model's own processor counts (transformers keeps that count for servers, which plan their memory by it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from mmsb.errors import ModelError
from mmsb.model.batch_memory import configurations
from mmsb.model.composed.base import IMAGE, Composed
from mmsb.model.fit import image_side

if TYPE_CHECKING:
    from mmsb.model.local import Local

Size = tuple[int, int]
ALWAYS = ("num_query_tokens", "mm_tokens_per_image")  # names of the number in configurations
BESIDE = ("cross_attention_layers", "cross_layer_interval")  # where layers look at the picture, and one token stands
UNREADABLE = (OSError, ImportError, ValueError, KeyError, TypeError, AttributeError, ModelError)


def tokens_of_pictures(model: Local) -> Callable[[Size], float] | None:
    """Tokens of a picture by its width and height in pixels; None where the checkpoint does not tell."""
    # In this order: the processor knows the most, and takes seconds to come.
    for read in (_always, _processed, _patches):
        try:
            if (found := read(model)) is not None:
                return found
        except UNREADABLE:
            continue
    return None


def _always(model: Local) -> Callable[[Size], float] | None:
    """The number that the configuration names."""
    whole, language = next(configurations(model))
    if isinstance(model, Composed):
        return _composed(model, whole)
    if any(name in language or name in whole for name in BESIDE):
        return lambda size: 1.0
    if whole["model_type"] == "llava":  # its processor counts the same; image_seq_length is 576 whatever the tower
        return _patches(model)
    named = next((whole[name] for name in ALWAYS if whole.get(name)), None)
    return None if named is None else lambda size: float(named)


def _composed(model: Composed, parts: Mapping[str, Any]) -> Callable[[Size], float]:
    if IMAGE not in model.prompt:  # its layers look at it
        return lambda size: 0.0
    asked = next((part["num_query_tokens"] for part in parts.values() if part.get("num_query_tokens")), None)
    seen = parts["vision"]
    count = asked or (seen["image_size"] // seen["patch_size"]) ** 2 // model.PATCHES_A_TOKEN
    return lambda size: float(count)


def _processed(model: Local) -> Callable[[Size], float]:
    """What the checkpoint's own processor counts."""
    import transformers

    where = str(model.folder() or model.name_or_path)
    processor = transformers.AutoProcessor.from_pretrained(
        where, revision=model.revision, backend=getattr(model, "backend", "pil"), local_files_only=True
    )
    fit = getattr(model, "fit", None)
    square = image_side(processor.image_processor) if fit and fit.how != "native" else None

    @cache
    def counted(size: Size) -> float:
        wide, high = (square or max(size),) * 2 if fit and fit.how != "native" else size
        return float(processor._get_num_multimodal_tokens(image_sizes=[(high, wide)])["num_image_tokens"][0])

    counted((1024, 1024))  # one that cannot count is found out now
    return counted


def _patches(model: Local) -> Callable[[Size], float] | None:
    """A token for each patch of the vision tower."""
    for whole, _ in configurations(model):
        seen = whole.get("vision_config") or {}
        if seen.get("image_size") and seen.get("patch_size"):
            count = (seen["image_size"] // seen["patch_size"]) ** 2
            return lambda size: float(count)
    return None
