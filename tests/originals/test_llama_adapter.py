"""LLaMA-Adapter V2 replays what its authors' code did: OpenGVLab/LLaMA-Adapter with openai/CLIP, both variants."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mmsb.convert.conversion import make
from tests.composed_models import Published, preset
from tests.originals.held import SMALL, TOKENIZERS, asked, cases, check_answer, check_pixels, greedy, published
from tests.test_composed_llama_adapter import bias_variant, lora_variant
from tools.originals.common import Recording

VARIANTS = {"llama_adapter": bias_variant, "llama_adapter_lora": lora_variant}
State = dict[str, torch.Tensor]
PLAIN = {
    "visual.class_embedding": "embeddings.class_embedding",
    "visual.positional_embedding": "embeddings.position_embedding.weight",
    "visual.conv1.weight": "embeddings.patch_embedding.weight",
}
PARTS = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}


def hub_clip(state: State, layers: int) -> Iterator[tuple[str, torch.Tensor]]:
    """OpenAI's CLIP as the hub holds it: transformers' convert_clip_original_pytorch_to_hf.py."""
    yield "visual_projection.weight", state["clip.visual.proj"].T
    for key, name in PLAIN.items():
        yield f"vision_model.{name}", state[f"clip.{key}"]
    for kind in ("weight", "bias"):
        yield f"vision_model.pre_layrnorm.{kind}", state[f"clip.visual.ln_pre.{kind}"]
        yield f"vision_model.post_layernorm.{kind}", state[f"clip.visual.ln_post.{kind}"]
        for n in range(layers):
            theirs, ours = f"clip.visual.transformer.resblocks.{n}", f"vision_model.encoder.layers.{n}"
            for part, name in PARTS.items():
                yield f"{ours}.{name}.{kind}", state[f"{theirs}.{part}.{kind}"]
            yield f"{ours}.self_attn.out_proj.{kind}", state[f"{theirs}.attn.out_proj.{kind}"]
            for name, joined in zip("qkv", state[f"{theirs}.attn.in_proj_{kind}"].chunk(3), strict=True):
                yield f"{ours}.self_attn.{name}_proj.{kind}", joined


def hub_llama(state: State, heads: int, layers: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Meta's LLaMA as the hub holds it: transformers' convert_llama_weights_to_hf.py. Its norms are not used."""
    yield "model.embed_tokens.weight", state["llama.tok_embeddings.weight"]
    yield "lm_head.weight", state["llama.output.weight"]
    width = state["llama.tok_embeddings.weight"].shape[1]
    yield "model.norm.weight", torch.full((width,), 9.0)
    for n in range(layers):
        theirs, ours = f"llama.layers.{n}", f"model.layers.{n}"
        for name in "qkvo":
            weight = state[f"{theirs}.attention.w{name}.weight"]
            if name in "qk":
                weight = weight.view(heads, width // heads // 2, 2, width).transpose(1, 2).reshape(width, width)
            yield f"{ours}.self_attn.{name}_proj.weight", weight
        for number, name in (("1", "gate"), ("2", "down"), ("3", "up")):
            yield f"{ours}.mlp.{name}_proj.weight", state[f"{theirs}.feed_forward.w{number}.weight"]
        for name in ("input", "post_attention"):
            yield f"{ours}.{name}_layernorm.weight", torch.full((width,), 9.0)


@pytest.fixture(scope="module", params=list(VARIANTS))
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Any, Any]:
    recording = Recording.load(request.param)
    (state,) = published(recording, recording.about["scale"]).values()
    sizes = recording.about["sizes"]
    files = {
        "vision": dict(hub_clip(state, sizes["vision"]["num_hidden_layers"])),
        "adapter": {key: state[key] for key in recording.about["adapter"]},
        "language": dict(hub_llama(state, sizes["text"]["num_attention_heads"], sizes["text"]["num_hidden_layers"])),
    }
    folder = tmp_path_factory.mktemp("adapter") / "converted"
    model = preset("llama_adapter_v2", name_or_path=str(folder), parts=sizes, **SMALL)
    make(model, Published(files, TOKENIZERS / "llama"), folder)
    return recording, model, model.load()


def test_prompts_have_the_recorded_ids(adapter: tuple[Recording, Any, Any]) -> None:
    recording, model, loaded = adapter
    for name, case in cases(recording):
        assert model.segments(loaded.tokenizer, asked(case)) == case["ids"], name


def test_pictures_have_the_recorded_pixels(adapter: tuple[Recording, Any, Any]) -> None:
    recording, model, _ = adapter
    check_pixels(recording, lambda picture, side: model.pixels([picture], side)[0], 56)


def test_greedy_answers_have_the_recorded_logits_and_tokens(adapter: tuple[Recording, Any, Any]) -> None:
    recording, model, loaded = adapter
    for name, case in cases(recording):
        call, _ = greedy(model, loaded, loaded.net.language_model, asked(case))
        check_answer(recording, name, call)


def test_the_presets_own_sampling_draws_from_the_recorded_probabilities(
    adapter: tuple[Recording, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, model, loaded = adapter
    seen: list[torch.Tensor] = []
    draw = torch.multinomial

    def spy(probabilities: torch.Tensor, *counts: Any, **named: Any) -> torch.Tensor:
        seen.append(probabilities[0].clone())
        return draw(probabilities, *counts, **named)

    monkeypatch.setattr(torch, "multinomial", spy)
    for name, case in cases(recording):
        seen.clear()
        call, _ = greedy(model, loaded, loaded.net.language_model, asked(case), do_sample=True)
        torch.testing.assert_close(
            seen[0].sort(descending=True)[0], recording.tensors[f"choices.{name}"], rtol=1e-4, atol=1e-4
        )
    theirs = recording.about["arguments"]
    settings = {"temperature": theirs["temperature"], "top_p": theirs["top_p"], "top_k": 0, "num_beams": 1}
    settings |= {"do_sample": True, "ends": [theirs["end"]], "max_new_tokens": theirs["max_gen_len"]}
    assert call.settings | settings == call.settings
    assert (call.settings["repetition_penalty"], call.settings["no_repeat_ngram_size"]) == (1.0, 0)


def test_the_keys_checked_at_full_size_are_the_recorded_ones(adapter: tuple[Recording, Any, Any]) -> None:
    recording, _, _ = adapter
    sizes = recording.about["sizes"]
    held = VARIANTS[recording.name](sizes)["adapter"]
    weights = recording.about["weights"]["model"]
    assert {key: list(shape) for key, shape in held.items()} == {
        key: weights[key] for key in recording.about["adapter"]
    }


def test_dropping_the_crops_rounding_would_show(adapter: tuple[Recording, Any, Any]) -> None:
    recording, model, _ = adapter
    floored = dataclasses.replace(model, fit=dataclasses.replace(model.fit, rounding="down"))
    with pytest.raises(AssertionError, match="wide at 224"):
        check_pixels(recording, lambda picture, side: floored.pixels([picture], side)[0], 56)
