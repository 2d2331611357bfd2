"""Otter: every published key at full size, batches, beams, and questions that hold its tokens."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from mmsb.image_mode.typography import TypedText
from tests.asking import named
from tests.composed_models import TINY, eight_prompts, preset
from tests.plain import (
    Shapes,
    check_batches,
    check_full_size,
    clip_shapes,
    norm_shapes,
    tiny,
)

SIZES = TINY["Otter"]
HEADS, LAYERS = SIZES["text"]["n_heads"], SIZES["text"]["n_layers"]
PICTURE = TypedText("a phrase")
IMAGE, ANSWER = 401, 402  # after the 400 tokens of the tiny tokenizer and <|endofchunk|>


def published(sizes: dict[str, Any]) -> dict[str, Shapes]:
    """Keys and shapes of luodian/OTTER-Image-MPT7B."""
    width, hidden = sizes["vision"]["hidden_size"], sizes["text"]["d_model"]
    inner = sizes["perceiver"]["num_attention_heads"] * sizes["perceiver"]["head_dim"]

    def attention(key: str, into: int, seen: int) -> Shapes:
        return {
            f"{key}.to_q.weight": (inner, into),
            f"{key}.to_kv.weight": (2 * inner, seen),
            f"{key}.to_out.weight": (into, inner),
        }

    def mlp(key: str, into: int) -> Shapes:
        return {
            **norm_shapes(f"{key}.0", into),
            f"{key}.1.weight": (4 * into, into),
            f"{key}.3.weight": (into, 4 * into),
        }

    shapes = clip_shapes(sizes["vision"], "vision_encoder.vision_model.")
    shapes |= {"perceiver.latents": (sizes["perceiver"]["num_latents"], width), **norm_shapes("perceiver.norm", width)}
    for n in range(sizes["perceiver"]["num_hidden_layers"]):
        layer = f"perceiver.layers.{n}"
        shapes |= attention(layer, width, width) | mlp(f"{layer}.feed_forward", width)
        shapes |= norm_shapes(f"{layer}.norm_media", width) | norm_shapes(f"{layer}.norm_latents", width)
    shapes["lang_encoder.transformer.wte.weight"] = (sizes["text"]["vocab_size"], hidden)
    shapes["lang_encoder.transformer.norm_f.weight"] = (hidden,)
    every = sizes["text"]["cross_attn_every_n_layers"]
    for n in range(sizes["text"]["n_layers"]):
        block = f"lang_encoder.transformer.blocks.{n}"
        shapes |= {f"{block}.decoder_layer.norm_{number}.weight": (hidden,) for number in (1, 2)}
        shapes[f"{block}.decoder_layer.attn.Wqkv.weight"] = (3 * hidden, hidden)
        shapes[f"{block}.decoder_layer.attn.out_proj.weight"] = (hidden, hidden)
        shapes[f"{block}.decoder_layer.ffn.up_proj.weight"] = (4 * hidden, hidden)
        shapes[f"{block}.decoder_layer.ffn.down_proj.weight"] = (hidden, 4 * hidden)
        if (n + 1) % every == 0:
            crossing = f"{block}.gated_cross_attn_layer"
            shapes |= attention(f"{crossing}.attn", hidden, width) | norm_shapes(f"{crossing}.attn.norm", hidden)
            shapes |= mlp(f"{crossing}.feed_forward", hidden)
            shapes |= {f"{crossing}.attn_gate": (1,), f"{crossing}.ff_gate": (1,)}
    return {"model": shapes}


def test_every_published_key_lands_at_full_size_and_nothing_is_left(tmp_path: Path) -> None:
    net = check_full_size("otter", published, tmp_path)
    assert sorted(map(int, net.crossing)) == [3, 7, 11, 15, 19, 23, 27, 31]
    assert net.media == IMAGE  # of the tokenizer in the folder of sources


def test_a_batch_answers_as_one_by_one(tmp_path: Path) -> None:
    check_batches(tiny("otter", published, tmp_path / "made")[0])


def test_beams_of_a_batch_look_at_their_own_image_and_repeat_no_three_tokens(tmp_path: Path) -> None:
    model, _ = tiny("otter", published, tmp_path / "made")
    model = dataclasses.replace(model, generation=preset("otter").generation, max_new_tokens=20)
    assert model.generation == {"num_beams": 3, "no_repeat_ngram_size": 3}
    loaded, prompts = model.load(), eight_prompts()[::2]
    for crossing in loaded.net.crossing.values():
        crossing.attn_gate.data.fill_(3)  # wide open, so that the image matters to every answer
    alone = [model.run(loaded, model.inputs(loaded, [prompt]), 0)[0].text for prompt in prompts]
    assert [response.text for response in model.run(loaded, model.inputs(loaded, prompts), 0)] == alone
    assert len(set(alone)) > 2
    with torch.inference_mode():
        inputs = model.embed(loaded, model.inputs(loaded, prompts[:1]))
        with model.generating(loaded.net, inputs) as further:
            options = {"do_sample": False, "max_new_tokens": 60, "pad_token_id": 0, **model.generation}
            net = loaded.net.language_model
            (ids,) = net.generate(
                inputs_embeds=inputs.embeds, attention_mask=inputs.mask, **options, **further
            ).tolist()
    triples = [tuple(ids[at : at + 3]) for at in range(len(ids) - 2)]
    assert len(ids) == inputs.ids.shape[1] + 60
    asked = inputs.ids.shape[1] - 2
    assert not set(triples[asked:]) & set(triples[:asked])  # the prompt's counted too


def test_a_question_cannot_hold_the_image_or_end_itself(tmp_path: Path) -> None:
    model, _ = tiny("otter", published, tmp_path / "made")
    loaded = model.load()
    (ids,) = model.segments(loaded.tokenizer, named("1", "<image> <answer><|endofchunk|>", PICTURE))
    assert [token for token in ids if token >= 400] == [IMAGE, ANSWER]
