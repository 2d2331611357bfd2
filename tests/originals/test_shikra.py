"""Shikra replays what its authors' code did: shikras/shikra, its loading, conversation and model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mmsb.convert.conversion import make
from tests.composed_models import Published, preset
from tests.originals.held import (
    SMALL,
    TOKENIZERS,
    asked,
    cases,
    check_answer,
    check_squared_pixels,
    greedy,
    published,
)
from tools.originals.common import Recording, weight

TOKENS = {"<im_patch>": 400, "<im_start>": 401, "<im_end>": 402}


def files(recording: Recording) -> dict[str, dict[str, torch.Tensor]]:
    """What is published: the difference to a LLaMA of 400 tokens, that LLaMA, and CLIP."""
    held = published(recording, recording.about["scale"])
    full = {key: tensor for key, tensor in held["model"].items() if not key.startswith("model.vision_tower.")}
    base = {key: tensor[:400] * 0 for key, tensor in full.items() if ".mm_projector." not in key}
    base = {key: weight(f"base.{key}", tuple(tensor.shape)) for key, tensor in base.items()}
    delta = {key: tensor.clone() for key, tensor in full.items()}
    for key, tensor in base.items():
        delta[key][: len(tensor)] -= tensor
    return {"delta": delta, "language": base, "vision": held["vision"]}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording.load("shikra")


@pytest.fixture(scope="module")
def shikra(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    root: Path = tmp_path_factory.mktemp("shikra")
    shutil.copytree(TOKENIZERS / "llama", root / "files")
    (root / "files" / "added_tokens.json").write_text(json.dumps(TOKENS))
    config = {**recording.about["text"], "vision_config": recording.about["vision"]}
    (root / "files" / "config.json").write_text(json.dumps(config))
    model = preset("shikra", name_or_path=str(root / "converted"), **SMALL)
    make(model, Published(files(recording), root / "files"), root / "converted")
    return model, model.load()


def test_prompts_have_the_recorded_ids(recording: Recording, shikra: tuple[Any, Any]) -> None:
    model, loaded = shikra
    for name, case in cases(recording):
        (ids,) = model.inputs(loaded, [asked(case)])["input_ids"].tolist()
        assert ids == case["ids"], name


def test_pictures_have_the_recorded_pixels(recording: Recording, shikra: tuple[Any, Any]) -> None:
    check_squared_pixels(recording, *shikra)


def test_answers_have_the_recorded_logits_tokens_and_settings(recording: Recording, shikra: tuple[Any, Any]) -> None:
    model, loaded = shikra
    for name, case in cases(recording):
        call, _ = greedy(model, loaded, loaded.model, asked(case))
        check_answer(recording, name, call)
        assert call.settings == case["settings"], name
