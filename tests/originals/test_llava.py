"""LLaVA-1.5 replays what its authors' code did: haotian-liu/LLaVA, model and evaluation scripts."""

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
    check_squared_pixels,
    from_hub,
    greedy,
    published,
    write_configs,
)
from tools.originals.common import Recording

# Renamed as transformers' convert_llava_weights_to_hf.py renames them.
HUB_KEYS = (
    (r"model\.vision_tower\.vision_tower\.(.*)", r"vision_tower.\1"),
    (r"model\.mm_projector\.0\.(.*)", r"multi_modal_projector.linear_1.\1"),
    (r"model\.mm_projector\.2\.(.*)", r"multi_modal_projector.linear_2.\1"),
    (r"(model\..*|lm_head\.weight)", r"language_model.\1"),
)
FURTHER = 48  # rows for <image>, <pad> and a round number, as on the hub


def hub_weights(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The authors' weights as llava-hf publishes them."""
    for key, tensor in state.items():
        pattern, to = next((pattern, to) for pattern, to in HUB_KEYS if re.fullmatch(pattern, key))
        rows = torch.zeros(FURTHER, tensor.shape[-1])
        grown = torch.cat([tensor, rows]) if key in ("model.embed_tokens.weight", "lm_head.weight") else tensor
        yield re.sub(pattern, to, key), grown


def hub_checkpoint(recording: Recording, folder: Path) -> Path:
    """The recorded model as the hub's checkpoint: llava-hf/llava-1.5-7b-hf, small."""
    sizes = recording.about["sizes"]
    vision, vocabulary = sizes["vision"], sizes["text"]["vocab_size"]
    shutil.copytree(TOKENIZERS / "llava_hf", folder)
    (state,) = published(recording, recording.about["scale"]).values()
    save_file(dict(hub_weights(state)), folder / "model.safetensors", {"format": "pt"})
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": vocabulary,
        "pad_token_id": vocabulary + 1,
        "projector_hidden_act": "gelu",
        "text_config": {**sizes["text"], "model_type": "llama", "vocab_size": vocabulary + FURTHER},
        "tie_word_embeddings": False,
        "vision_config": {**vision, "model_type": "clip_vision_model"},
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }
    side = {"shortest_edge": vision["image_size"]}, {"height": vision["image_size"], "width": vision["image_size"]}
    images = {"image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor"}
    processor = {"patch_size": 14, "vision_feature_select_strategy": "default", "image_token": "<image>"}
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": vocabulary + 1}
    write_configs(
        folder,
        config=config,
        preprocessor_config={**images, "size": side[0], "crop_size": side[1]},
        processor_config={**processor, "processor_class": "LlavaProcessor", "num_additional_image_tokens": 1},
        generation_config=generation,
    )
    return folder


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording.load("llava")


@pytest.fixture(scope="module", params=["llava_1_5_7b", "llava_1_5_13b"])
def llava(
    request: pytest.FixtureRequest, recording: Recording, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    return from_hub(request.param, hub_checkpoint(recording, tmp_path_factory.mktemp("llava") / "hub"))


def test_prompts_have_the_recorded_ids(recording: Recording, llava: tuple[Any, Any]) -> None:
    model, loaded = llava
    image = loaded.model.config.image_token_id
    for name, case in cases(recording):
        (ids,) = model.inputs(loaded, [asked(case)])["input_ids"].tolist()
        patches = (56 // 14) ** 2
        theirs = [token for held in case["ids"] for token in ([image] * patches if held == -200 else [held])]
        assert ids == theirs, name


def test_pictures_have_the_recorded_pixels(recording: Recording, llava: tuple[Any, Any]) -> None:
    check_squared_pixels(recording, *llava)


def test_answers_have_the_recorded_logits_tokens_and_settings(recording: Recording, llava: tuple[Any, Any]) -> None:
    model, loaded = llava
    for name, case in cases(recording):
        call, _ = greedy(model, loaded, loaded.model, asked(case))
        call.logits = [logits[: recording.about["sizes"]["text"]["vocab_size"]] for logits in call.logits]
        check_answer(recording, name, call)
        assert call.settings == case["settings"]


def test_answers_are_read_as_the_authors_read_them(recording: Recording, llava: tuple[Any, Any]) -> None:
    tokenizer = llava[1].processor.tokenizer
    for text, decoded in recording.about["decoded"].items():
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == decoded
