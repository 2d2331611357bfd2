"""mPLUG-Owl against plain computations with the published key names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from torch.nn.functional import conv2d, silu

from mmsb.errors import ModelError
from mmsb.image_mode.typography import TypedText
from mmsb.types import Prompt
from tests.composed_models import TINY, sentencepiece_model
from tests.plain import (
    Shapes,
    State,
    attend,
    check_answer,
    check_batches,
    check_full_size,
    close,
    decoder,
    dense,
    dense_shapes,
    llama_shapes,
    norm,
    norm_shapes,
    tiny,
    with_tokens,
)

SIZES = TINY["MplugOwl"]
TEXT = {**SIZES["text"], "rms_norm_eps": 1e-6}
PICTURE = TypedText("a phrase")


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


def vision(pixels: torch.Tensor, state: State) -> torch.Tensor:
    sizes = SIZES["vision"]
    heads, width = sizes["num_attention_heads"], sizes["hidden_size"]
    patches = conv2d(pixels, state["vision_model.embeddings.patch_embed.weight"], stride=14)
    token = state["vision_model.embeddings.cls_token"].expand(len(pixels), -1, -1)
    x = torch.cat([token, patches.flatten(2).transpose(1, 2)], dim=1)
    x = x + state["vision_model.embeddings.position_embedding"]
    x = norm(x, state, "vision_model.embeddings.pre_layernorm", 1e-6)
    by_head = torch.arange(3 * width).view(heads, 3, width // heads)  # rows of query, key, value of each head
    for n in range(sizes["num_hidden_layers"]):
        layer = f"vision_model.encoder.layers.{n}"
        joined = dense(norm(x, state, f"{layer}.input_layernorm", 1e-6), state, f"{layer}.self_attn.query_key_value")
        q, k, v = (joined[..., by_head[:, part].flatten()] for part in range(3))
        x = x + dense(attend(q, k, v, heads), state, f"{layer}.self_attn.dense")
        h = dense(norm(x, state, f"{layer}.post_attention_layernorm", 1e-6), state, f"{layer}.mlp.fc1")
        x = x + dense(h * torch.sigmoid(1.702 * h), state, f"{layer}.mlp.fc2")
    return norm(x, state, "vision_model.post_layernorm", 1e-6)


def abstractor(seen: torch.Tensor, state: State) -> torch.Tensor:
    x = state["query_tokens"].expand(len(seen), -1, -1)
    for n in range(SIZES["abstractor"]["num_hidden_layers"]):
        layer = f"abstractor.encoder.layers.{n}.crossattention"
        x = norm(x, state, f"{layer}.norm1")
        read = torch.cat([x, norm(seen, state, f"{layer}.normk")], dim=1)
        q = dense(x, state, f"{layer}.attention.query")
        k, v = (dense(read, state, f"{layer}.attention.{name}") for name in ("key", "value"))
        x = x + dense(attend(q, k, v, 2), state, f"{layer}.output.out_proj")
        h = norm(x, state, f"{layer}.output.norm2")
        gated = silu(dense(h, state, f"{layer}.output.mlp.w1")) * dense(h, state, f"{layer}.output.mlp.w3")
        x = x + dense(norm(gated, state, f"{layer}.output.mlp.ffn_ln", 1e-6), state, f"{layer}.output.mlp.w2")
    end = state["abstractor.vit_eos"].expand(len(seen), -1, -1)
    return torch.cat([dense(x, state, "abstractor.visual_fc"), end], dim=1)


def logits(x: torch.Tensor, state: State) -> torch.Tensor:
    def to(n: int, name: str, h: torch.Tensor) -> torch.Tensor:
        part = "self_attn" if len(name) == 1 else "mlp"
        return dense(h, state, f"language_model.model.layers.{n}.{part}.{name}_proj")

    hidden = decoder(x, torch.arange(len(x)), TEXT, lambda key: state[f"language_model.model.{key}.weight"], to)
    return dense(hidden, state, "language_model.lm_head")


def test_it_sees_as_a_plain_computation_with_the_published_weights(tmp_path: Path) -> None:
    model, files = tiny("mplug_owl", published, tmp_path / "made")
    net = model.load().net
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        seen = vision(pixels, files["language"])
        close(net.vision_model.post_layernorm(net.vision_model(pixels).last_hidden_state), seen)
        close(net.vision(pixels), abstractor(seen, files["language"]))


def test_it_answers_as_a_plain_decoder_on_the_same_sequence(tmp_path: Path) -> None:
    model, files = tiny("mplug_owl", published, tmp_path / "made")
    loaded, state = model.load(), files["language"]
    prompt = Prompt("1", "What is this?", PICTURE)
    spm = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    opening = "The following is a conversation between a curious human and AI assistant. The assistant gives helpful, "
    opening += "detailed, and polite answers to the user's questions.\nHuman: "
    before, after = [1, *spm.encode(opening)], spm.encode("\nHuman: What is this?\nAI: ")
    with torch.inference_mode():
        image = abstractor(vision(model.pixels([PICTURE.load()], 56), state), state)[0]
        table = state["language_model.model.embed_tokens.weight"]

    def plain(new: list[int]) -> torch.Tensor:
        return logits(with_tokens(table, before, image, after, new), state)

    check_answer(model, loaded, prompt, plain, len(before) + 4 + len(after))


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


def test_a_batch_answers_as_one_by_one(tmp_path: Path) -> None:
    check_batches(tiny("mplug_owl", published, tmp_path / "made")[0])


def test_without_an_image_only_the_human_speaks(tmp_path: Path) -> None:
    model, _ = tiny("mplug_owl", published, tmp_path / "made")
    loaded = model.load()
    (ids,) = model.segments(loaded.tokenizer, Prompt("1", "What?"))
    assert loaded.tokenizer.decode(ids, skip_special_tokens=True).endswith("questions.\nHuman: What?\nAI: ")
