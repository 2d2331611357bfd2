"""CogVLM: the positions of patches, published keys at full size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmsb.model.composed.cogvlm_net import positions
from tests.plain import (
    Shapes,
    check_full_size,
    dense_shapes,
    norm_shapes,
)

PATCHES = 16


def published(sizes: dict[str, Any]) -> dict[str, Shapes]:
    """Keys and shapes of THUDM/cogvlm-chat-hf, with the rotary buffers that it may hold."""
    vision, text = sizes["vision"], sizes["text"]
    width, inner, hidden, wide = (part[key] for part in (vision, text) for key in ("hidden_size", "intermediate_size"))
    tower, adapter = "model.vision", "model.vision.linear_proj"
    shapes: Shapes = {
        f"{tower}.patch_embedding.proj.weight": (width, 3, vision["patch_size"], vision["patch_size"]),
        f"{tower}.patch_embedding.proj.bias": (width,),
        f"{tower}.patch_embedding.cls_embedding": (1, width),
        f"{tower}.patch_embedding.position_embedding.weight": (
            (vision["image_size"] // vision["patch_size"]) ** 2 + 1,
            width,
        ),
        f"{adapter}.linear_proj.weight": (hidden, width),
        **norm_shapes(f"{adapter}.norm1", hidden),
        f"{adapter}.gate_proj.weight": (wide, hidden),
        f"{adapter}.dense_h_to_4h.weight": (wide, hidden),
        f"{adapter}.dense_4h_to_h.weight": (hidden, wide),
        f"{tower}.boi": (1, 1, hidden),
        f"{tower}.eoi": (1, 1, hidden),
        "model.embed_tokens.weight": (text["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
        "lm_head.weight": (text["vocab_size"], hidden),
    }
    for n in range(vision["num_hidden_layers"]):
        layer = f"{tower}.transformer.layers.{n}"
        shapes |= dense_shapes(f"{layer}.attention.query_key_value", width, 3 * width)
        shapes |= dense_shapes(f"{layer}.attention.dense", width, width)
        shapes |= dense_shapes(f"{layer}.mlp.fc1", width, inner) | dense_shapes(f"{layer}.mlp.fc2", inner, width)
        shapes |= norm_shapes(f"{layer}.input_layernorm", width) | norm_shapes(
            f"{layer}.post_attention_layernorm", width
        )
    for n in range(text["num_hidden_layers"]):
        layer = f"model.layers.{n}"
        shapes |= {f"{layer}.{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
        shapes[f"{layer}.self_attn.rotary_emb.inv_freq"] = (hidden // text["num_attention_heads"] // 2,)
        for expert in ("vision", "language"):
            shapes[f"{layer}.self_attn.{expert}_expert_query_key_value.weight"] = (3 * hidden, hidden)
            shapes[f"{layer}.self_attn.{expert}_expert_dense.weight"] = (hidden, hidden)
            shapes |= {f"{layer}.mlp.{expert}_mlp.{name}_proj.weight": (wide, hidden) for name in ("gate", "up")}
            shapes[f"{layer}.mlp.{expert}_mlp.down_proj.weight"] = (hidden, wide)
    return {"model": shapes}


@pytest.mark.parametrize(
    ("image", "padding", "expected"),
    [
        ("..IIIIIII..", 0, [0, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6]),
        (".III.", 2, [0, 0, 0, 1, 2, 3, 4]),
        ("....", 1, [0, 0, 1, 2, 3]),
    ],
)
def test_patches_share_one_position(image: str, padding: int, expected: list[int]) -> None:
    visual = torch.tensor([[False] * padding + [letter == "I" for letter in image]])
    mask = torch.tensor([[0] * padding + [1] * len(image)])
    assert positions(visual, mask)[0].tolist() == expected


def test_every_published_key_lands_at_full_size_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"rms_norm_eps": 1e-6, "vocab_size": 32000}')
    net = check_full_size("cogvlm", published, tmp_path)
    assert net.tower.positions.shape == (1226, 1792)
    assert net.language_model.config.rms_norm_eps == 1e-6  # the published configuration's
