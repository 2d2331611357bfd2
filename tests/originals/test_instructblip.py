"""InstructBLIP replays what its authors' code did: salesforce/LAVIS, Blip2VicunaInstruct.generate."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.originals.held import (
    TOKENIZERS,
    asked,
    cases,
    check_answer,
    check_pixels,
    from_hub,
    greedy,
    processed,
    published,
    write_configs,
)
from tools.originals.common import Recording

# Renamed as transformers' convert_instructblip_original_to_pytorch.py renames them.
HUB_KEYS = (
    (r"visual_encoder\.cls_token", "vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", "vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(.*)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"ln_vision\.(.*)", r"vision_model.post_layernorm.\1"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(.*)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.weight", r"vision_model.encoder.layers.\1.self_attn.qkv.weight"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(.*)", r"vision_model.encoder.layers.\1.self_attn.projection.\2"),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(.*)", r"vision_model.encoder.layers.\1.mlp.\2"),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.(.*)", r"qformer.embeddings.layernorm.\1"),
    (r"Qformer\.bert\.(.*)attention\.self\.(.*)", r"qformer.\1attention.attention.\2"),
    (r"Qformer\.bert\.(.*)", r"qformer.\1"),
    (r"llm_proj\.(.*)", r"language_projection.\1"),
    (r"llm_model\.(.*)", r"language_model.\1"),
    (r"query_tokens", "query_tokens"),
)
FURTHER = 2  # <image> and <video>, which the hub's checkpoints have beyond [PAD]


def hub_weights(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The authors' weights as Salesforce's checkpoints on the hub hold them."""
    for key, tensor in state.items():
        if key.endswith(("position_ids", "inv_freq", "attn.v_bias")):
            continue
        if key.endswith("attn.q_bias"):
            layer = key.split(".")[2]
            bias = torch.cat([tensor, torch.zeros_like(tensor), state[key.replace("q_bias", "v_bias")]])
            yield f"vision_model.encoder.layers.{layer}.self_attn.qkv.bias", bias
            continue
        pattern, to = next((pattern, to) for pattern, to in HUB_KEYS if re.fullmatch(pattern, key))
        grown = key in ("llm_model.model.embed_tokens.weight", "llm_model.lm_head.weight")
        rows = torch.zeros(FURTHER if grown else 0, *tensor.shape[1:])
        yield re.sub(pattern, to, key), torch.cat([tensor, rows]) if grown else tensor


def hub_checkpoint(recording: Recording, folder: Path) -> Path:
    """The recorded model as the hub's checkpoint: Salesforce/instructblip-vicuna-7b, small."""
    sizes = recording.about["sizes"]
    shutil.copytree(TOKENIZERS / "instructblip", folder)
    (state,) = published(recording, recording.about["scale"]).values()
    save_file(dict(hub_weights(state)), folder / "model.safetensors", {"format": "pt"})
    vocabulary = sizes["text"]["vocab_size"]
    text = {**sizes["text"], "vocab_size": vocabulary + 1 + FURTHER, "model_type": "llama"}
    read = {**sizes["qformer"], "vocab_size": recording.about["words"], "model_type": "instructblip_qformer"}
    config = {
        "architectures": ["InstructBlipForConditionalGeneration"],
        "model_type": "instructblip",
        "image_token_index": vocabulary + 1,
        "num_query_tokens": sizes["queries"],
        "qformer_config": {**read, "encoder_hidden_size": sizes["vision"]["hidden_size"]},
        "text_config": {**text, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": -1},
        "tie_word_embeddings": False,
        "use_decoder_only_language_model": True,
        "vision_config": {**sizes["vision"], "patch_size": 14, "model_type": "instructblip_vision_model"},
    }
    side = {"height": sizes["vision"]["image_size"], "width": sizes["vision"]["image_size"]}
    images = {"image_processor_type": "BlipImageProcessor", "size": side}
    images |= {"image_mean": recording.about["mean"], "image_std": recording.about["std"]}
    write_configs(
        folder,
        config=config,
        preprocessor_config={**images, "processor_class": "InstructBlipProcessor"},
        processor_config={"num_query_tokens": sizes["queries"], "processor_class": "InstructBlipProcessor"},
        generation_config={"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": vocabulary},
    )
    return folder


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording.load("instructblip")


@pytest.fixture(scope="module", params=["instructblip_7b", "instructblip_13b"])
def instructblip(
    request: pytest.FixtureRequest, recording: Recording, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    return from_hub(request.param, hub_checkpoint(recording, tmp_path_factory.mktemp("instructblip") / "hub"))


def test_prompts_have_the_recorded_ids(recording: Recording, instructblip: tuple[Any, Any]) -> None:
    model, loaded = instructblip
    image = loaded.model.config.image_token_index
    for name, case in cases(recording):
        inputs = model.inputs(loaded, [asked(case)])
        (ids,) = inputs["input_ids"].tolist()
        assert ids == [image] * recording.about["sizes"]["queries"] + case["ids"], name
        assert inputs["qformer_input_ids"].tolist() == [case["read"]], name


def test_pictures_have_the_recorded_pixels(recording: Recording, instructblip: tuple[Any, Any]) -> None:
    model, loaded = instructblip
    images = type(loaded.processor.image_processor)

    def pixels(picture: Any, side: int) -> torch.Tensor:
        return processed(model, images(size={"height": side, "width": side}), picture, side)

    check_pixels(recording, pixels, 56)


def test_answers_have_the_recorded_logits_tokens_and_settings(
    recording: Recording, instructblip: tuple[Any, Any]
) -> None:
    model, loaded = instructblip
    words = recording.about["sizes"]["text"]["vocab_size"] + 1
    for name, case in cases(recording):
        single = {} if name == "beams" else {"num_beams": 1, "repetition_penalty": 1.0}
        call, _ = greedy(model, loaded, loaded.model.language_model, asked(case), **single)
        assert call.settings == case["settings"], name
        if name == "beams":
            assert call.tokens == case["tokens"]
            continue
        call.logits = [logits[:words] for logits in call.logits]
        check_answer(recording, name, call)
