"""Otter against a plain computation with the published key names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from PIL import Image
from torch.nn.functional import gelu, layer_norm
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from mmsb.image_mode.typography import TypedText
from tests.asking import named
from tests.composed_models import TINY, eight_prompts, preset, sentencepiece_model
from tests.plain import (
    Shapes,
    State,
    attend,
    check_answer,
    check_batches,
    check_full_size,
    clip,
    clip_shapes,
    close,
    dense,
    norm,
    norm_shapes,
    prefill,
    tiny,
    with_tokens,
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


def mlp(x: torch.Tensor, state: State, key: str) -> torch.Tensor:
    return dense(gelu(dense(norm(x, state, f"{key}.0"), state, f"{key}.1")), state, f"{key}.3")


def perceived(pixels: torch.Tensor, state: State) -> torch.Tensor:
    sizes = {**SIZES["vision"], "layer_norm_eps": 1e-5}
    seen = clip(pixels, state, "vision_encoder.vision_model.", sizes)[:, 1:]
    latents = state["perceiver.latents"].expand(len(pixels), -1, -1)
    for n in range(SIZES["perceiver"]["num_hidden_layers"]):
        layer = f"perceiver.layers.{n}"
        normed = norm(latents, state, f"{layer}.norm_latents")
        k, v = dense(torch.cat([norm(seen, state, f"{layer}.norm_media"), normed], 1), state, f"{layer}.to_kv").chunk(
            2, -1
        )
        latents = latents + dense(attend(dense(normed, state, f"{layer}.to_q"), k, v, 2), state, f"{layer}.to_out")
        latents = latents + mlp(latents, state, f"{layer}.feed_forward")
    return norm(latents, state, "perceiver.norm")


def logits(x: torch.Tensor, image: torch.Tensor, looking: list[bool], state: State) -> torch.Tensor:
    """MPT on one row [length, width]; only `looking` tokens attend to the image [latents, seen]."""
    length, hidden = x.shape
    distance = torch.arange(length)[None] - torch.arange(length)[:, None]
    past = torch.zeros(length, length).masked_fill(distance > 0, float("-inf"))
    look = torch.tensor(looking).float()[:, None]
    for n in range(LAYERS):
        block = f"lang_encoder.transformer.blocks.{n}"
        crossing = f"{block}.gated_cross_attn_layer"
        if (n + 1) % SIZES["text"]["cross_attn_every_n_layers"] == 0:
            q = dense(norm(x, state, f"{crossing}.attn.norm"), state, f"{crossing}.attn.to_q")
            k, v = dense(image, state, f"{crossing}.attn.to_kv").chunk(2, dim=-1)
            out = dense(attend(q, k, v, 2), state, f"{crossing}.attn.to_out") * look
            x = x + out * state[f"{crossing}.attn_gate"].tanh()
            x = x + mlp(x, state, f"{crossing}.feed_forward") * state[f"{crossing}.ff_gate"].tanh()
        layer = f"{block}.decoder_layer"
        h = layer_norm(x, (hidden,), state[f"{layer}.norm_1.weight"])
        q, k, v = dense(h, state, f"{layer}.attn.Wqkv").chunk(3, dim=-1)
        rows = []
        for head in range(HEADS):
            part = slice(head * hidden // HEADS, (head + 1) * hidden // HEADS)
            slope = 2 ** (-8 * (head + 1) / HEADS)
            scores = q[:, part] @ k[:, part].T / (hidden // HEADS) ** 0.5 + slope * distance + past
            rows.append(scores.softmax(-1) @ v[:, part])
        x = x + dense(torch.cat(rows, dim=-1), state, f"{layer}.attn.out_proj")
        h = layer_norm(x, (hidden,), state[f"{layer}.norm_2.weight"])
        x = x + dense(gelu(dense(h, state, f"{layer}.ffn.up_proj")), state, f"{layer}.ffn.down_proj")
    x = layer_norm(x, (hidden,), state["lang_encoder.transformer.norm_f.weight"])
    return x @ state["lang_encoder.transformer.wte.weight"].T


def test_it_answers_as_a_plain_computation_with_the_published_weights(tmp_path: Path) -> None:
    model, files = tiny("otter", published, tmp_path / "made")
    loaded, state = model.load(), files["model"]
    spm = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    ids = [IMAGE, *spm.encode("User: What is this? GPT:"), ANSWER]
    table = state["lang_encoder.transformer.wte.weight"]
    prompt = named("1", "What is this?", PICTURE)
    with torch.inference_mode():
        pixels = model.pixels([PICTURE.load()], 56)
        image = perceived(pixels, state)
        close(loaded.net.vision(pixels), image)

    def plain(new: list[int]) -> torch.Tensor:
        looking = [True] * len(ids) + [False] * len(new)  # generated tokens do not look at the image
        return logits(with_tokens(table, ids, new), image[0], looking, state)

    check_answer(model, loaded, prompt, plain, len(ids))


def test_a_prompt_without_image_is_asked_with_a_zero_image(tmp_path: Path) -> None:
    model, files = tiny("otter", published, tmp_path / "made")
    loaded, state = model.load(), files["model"]
    prompt = named("1", "What?")
    (ids,) = model.segments(loaded.tokenizer, prompt)
    assert ids[0] == IMAGE
    with torch.inference_mode():
        image = perceived(torch.zeros(1, 3, 56, 56), state)[0]
        embeds = with_tokens(state["lang_encoder.transformer.wte.weight"], ids)
        close(prefill(model, loaded, prompt)[0], logits(embeds, image, [True] * len(ids), state))


@pytest.mark.parametrize("size", [(224, 224), (1024, 1194), (300, 601), (599, 301), (57, 100)])
def test_pictures_are_cropped_as_clips_own_processor_does(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype="uint8")
    picture = Image.fromarray(noise)
    ours = preset("otter").pixels([picture], 224)
    close(ours, CLIPImageProcessorPil()(picture, return_tensors="pt")["pixel_values"])


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
