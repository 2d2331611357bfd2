"""CogVLM against a plain computation with the published key names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from torch.nn.functional import conv2d, gelu, silu

from mmsb.image_mode.typography import TypedText
from mmsb.model.composed.cogvlm_net import positions
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
    norm,
    norm_shapes,
    prefill,
    tiny,
    with_tokens,
)

SIZES = TINY["CogVLM"]
TEXT = {**SIZES["text"], "rms_norm_eps": 1e-5}
PATCHES = 16
PICTURE = TypedText("a phrase")
SPM = sentencepiece.SentencePieceProcessor


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


def vision(pixels: torch.Tensor, state: State) -> torch.Tensor:
    key, heads = "model.vision.patch_embedding", SIZES["vision"]["num_attention_heads"]
    patches = (
        conv2d(pixels, state[f"{key}.proj.weight"], state[f"{key}.proj.bias"], stride=14).flatten(2).transpose(1, 2)
    )
    x = torch.cat([state[f"{key}.cls_embedding"].expand(len(pixels), 1, -1), patches], dim=1)
    x = x + state[f"{key}.position_embedding.weight"]
    for n in range(SIZES["vision"]["num_hidden_layers"]):
        layer = f"model.vision.transformer.layers.{n}"
        q, k, v = dense(x, state, f"{layer}.attention.query_key_value").chunk(3, dim=-1)
        attended = dense(attend(q, k, v, heads), state, f"{layer}.attention.dense")
        x = x + norm(attended, state, f"{layer}.input_layernorm", 1e-6)
        passed = dense(gelu(dense(x, state, f"{layer}.mlp.fc1")), state, f"{layer}.mlp.fc2")
        x = x + norm(passed, state, f"{layer}.post_attention_layernorm", 1e-6)
    key = "model.vision.linear_proj"
    x = gelu(norm(dense(x[:, 1:], state, f"{key}.linear_proj"), state, f"{key}.norm1"))
    x = silu(dense(x, state, f"{key}.gate_proj")) * dense(x, state, f"{key}.dense_h_to_4h")
    ends = (state[f"model.vision.{end}"].expand(len(pixels), 1, -1) for end in ("boi", "eoi"))
    return torch.cat([next(ends), dense(x, state, f"{key}.dense_4h_to_h"), next(ends)], dim=1)


def logits(x: torch.Tensor, places: list[int], visual: list[bool], state: State) -> torch.Tensor:
    """The decoder on one row; `visual` tokens take the vision expert."""

    def weight(n: int, name: str, expert: str) -> torch.Tensor:
        layer = f"model.layers.{n}"
        if name in ("q", "k", "v"):
            joined = state[f"{layer}.self_attn.{expert}_expert_query_key_value.weight"]
            return joined.chunk(3)["qkv".index(name)]
        if name == "o":
            return state[f"{layer}.self_attn.{expert}_expert_dense.weight"]
        return state[f"{layer}.mlp.{expert}_mlp.{name}_proj.weight"]

    def to(n: int, name: str, h: torch.Tensor) -> torch.Tensor:
        rows = [weight(n, name, "vision" if seen else "language") @ row for seen, row in zip(visual, h, strict=True)]
        return torch.stack(rows)

    hidden = decoder(x, torch.tensor(places), TEXT, lambda key: state[f"model.{key}.weight"], to)
    return dense(hidden, state, "lm_head")


def test_it_answers_as_a_plain_computation_with_the_published_weights(tmp_path: Path) -> None:
    model, files = tiny("cogvlm", published, tmp_path / "made")
    loaded, state = model.load(), files["model"]
    text = SPM(model_proto=sentencepiece_model()).encode("Question: What is this? Answer:")
    table = state["model.embed_tokens.weight"]
    prompt = Prompt("1", "What is this?", PICTURE)
    with torch.inference_mode():
        pixels = model.pixels([PICTURE.load()], 56)
        image = vision(pixels, state)
        close(loaded.net.vision(pixels), image)

    def plain(new: list[int]) -> torch.Tensor:
        after = len(text) + len(new)
        places = [0, 1, *[2] * PATCHES, 3, *range(4, 4 + after)]
        visual = [False, *[True] * (PATCHES + 1), False, *[False] * after]  # the closing token is the language's
        return logits(with_tokens(table, [1], image[0], text, new), places, visual, state)

    check_answer(model, loaded, prompt, plain, 1 + PATCHES + 2 + len(text))


def test_without_an_image_vicunas_words_pass_the_language_alone(tmp_path: Path) -> None:
    model, files = tiny("cogvlm", published, tmp_path / "made")
    loaded, prompt = model.load(), Prompt("1", "What?")
    opening = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    opening += "detailed, and polite answers to the user's questions. USER: What? ASSISTANT:"
    ids = [1, *SPM(model_proto=sentencepiece_model()).encode(opening)]
    with torch.inference_mode():
        embeds = with_tokens(files["model"]["model.embed_tokens.weight"], ids)
        plain = logits(embeds, list(range(len(ids))), [False] * len(ids), files["model"])
        close(prefill(model, loaded, prompt)[0], plain)


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


def test_a_batch_answers_as_one_by_one(tmp_path: Path) -> None:
    check_batches(tiny("cogvlm", published, tmp_path / "made")[0])
