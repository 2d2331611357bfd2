"""mPLUG-Owl: published keys at full size, weights of another model, prompts without an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsb.errors import ModelError
from tests.asking import named
from tests.plain import (
    Shapes,
    check_full_size,
    dense_shapes,
    llama_shapes,
    norm_shapes,
    tiny,
)


def published(sizes: dict[str, Any]) -> dict[str, Shapes]:
    """Keys and shapes of MAGAer13/mplug-owl-llama-7b."""
    vision, reader, hidden = sizes["vision"], sizes["abstractor"], sizes["text"]["hidden_size"]
    width, patch = vision["hidden_size"], vision["patch_size"]
    places = (vision["image_size"] // patch) ** 2 + 1
    shapes: Shapes = {
        "vision_model.embeddings.cls_token": (1, 1, width),
        "vision_model.embeddings.patch_embed.weight": (width, 3, patch, patch),
        "vision_model.embeddings.position_embedding": (1, places, width),
        **norm_shapes("vision_model.embeddings.pre_layernorm", width),
        **norm_shapes("vision_model.post_layernorm", width),
        "query_tokens": (1, reader["num_query_tokens"], reader["hidden_size"]),
        **dense_shapes("abstractor.visual_fc", reader["hidden_size"], hidden),
        "abstractor.vit_eos": (1, 1, hidden),
        **llama_shapes(sizes["text"], "language_model."),
    }
    for n in range(vision["num_hidden_layers"]):
        layer, inner = f"vision_model.encoder.layers.{n}", vision["intermediate_size"]
        shapes |= dense_shapes(f"{layer}.self_attn.query_key_value", width, 3 * width)
        shapes |= dense_shapes(f"{layer}.self_attn.dense", width, width)
        shapes |= dense_shapes(f"{layer}.mlp.fc1", width, inner) | dense_shapes(f"{layer}.mlp.fc2", inner, width)
        shapes |= norm_shapes(f"{layer}.input_layernorm", width)
        shapes |= norm_shapes(f"{layer}.post_attention_layernorm", width)
    for n in range(reader["num_hidden_layers"]):
        layer, wide, inner = (
            f"abstractor.encoder.layers.{n}.crossattention",
            reader["hidden_size"],
            reader["intermediate_size"],
        )
        for name in ("attention.query", "attention.key", "attention.value", "output.out_proj"):
            shapes |= dense_shapes(f"{layer}.{name}", wide, wide)
        for name in ("norm1", "normk", "output.norm2"):
            shapes |= norm_shapes(f"{layer}.{name}", wide)
        shapes |= dense_shapes(f"{layer}.output.mlp.w1", wide, inner) | dense_shapes(
            f"{layer}.output.mlp.w3", wide, inner
        )
        shapes |= dense_shapes(f"{layer}.output.mlp.w2", inner, wide) | norm_shapes(f"{layer}.output.mlp.ffn_ln", inner)
    return {"language": shapes}


def test_every_published_key_lands_at_full_size_and_nothing_is_left(tmp_path: Path) -> None:
    check_full_size("mplug_owl", published, tmp_path)


def test_the_abstractor_is_as_wide_as_in_the_published_weights(tmp_path: Path) -> None:
    def wider(sizes: dict[str, Any]) -> dict[str, Shapes]:
        return published({**sizes, "abstractor": {**sizes["abstractor"], "intermediate_size": 4096}})

    net = check_full_size("mplug_owl", wider, tmp_path)
    assert net.abstractor.layers[5].down.in_features == 4096


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    def other(sizes: dict[str, Any]) -> dict[str, Shapes]:
        return {"language": llama_shapes(sizes["text"])}

    with pytest.raises(ModelError, match="language: the published file holds a weight that is not known: model"):
        tiny("mplug_owl", other, tmp_path / "made")


def test_without_an_image_only_the_human_speaks(tmp_path: Path) -> None:
    model, _ = tiny("mplug_owl", published, tmp_path / "made")
    loaded = model.load()
    (ids,) = model.segments(loaded.tokenizer, named("1", "What?"))
    assert loaded.tokenizer.decode(ids, skip_special_tokens=True).endswith("questions.\nHuman: What?\nAI: ")
