"""The ViT that several of the authors' repositories hold a copy of, small."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any


def small_vit(kind: Any, sizes: Mapping[str, Any], image_size: int) -> Any:
    """Their class `VisionTransformer` as their `create_eva_vit_g` builds it, at small sizes and in float32."""
    from torch import nn

    return kind(
        img_size=image_size,
        patch_size=14,
        use_mean_pooling=False,
        embed_dim=sizes["hidden_size"],
        depth=sizes["num_hidden_layers"],
        num_heads=sizes["num_attention_heads"],
        mlp_ratio=sizes["intermediate_size"] / sizes["hidden_size"] + 1e-9,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
