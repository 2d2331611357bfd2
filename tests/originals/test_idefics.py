"""IDEFICS replays what its published code did: transformers 4.37.2, used as its model card says."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.composed_models import preset
from tests.originals.held import SMALL, TOKENIZERS, asked, cases, check_answer, check_pixels, greedy, published, without
from tools.originals.common import Recording


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording.load("idefics")


@pytest.fixture(scope="module")
def idefics(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("idefics") / "hub"
    shutil.copytree(TOKENIZERS / "idefics", folder)
    (state,) = published(recording, recording.about["scale"]).values()
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    images = {"image_size": 56, "image_mean": recording.about["mean"], "image_std": recording.about["std"]}
    images |= {"image_num_channels": 3, "image_processor_type": "IdeficsImageProcessor"}
    (folder / "config.json").write_text(json.dumps(recording.about["config"]))
    (folder / "preprocessor_config.json").write_text(json.dumps({**images, "processor_class": "IdeficsProcessor"}))
    model = preset("idefics_9b", name_or_path=str(folder), **SMALL)
    return model, model.load()


def test_prompts_have_the_recorded_ids(recording: Recording, idefics: tuple[Any, Any]) -> None:
    model, loaded = idefics
    for name, case in cases(recording):
        (ids,) = model.inputs(loaded, [asked(case)])["input_ids"].tolist()
        assert ids == case["ids"], name


def test_pictures_have_the_recorded_pixels(recording: Recording, idefics: tuple[Any, Any]) -> None:
    model, loaded = idefics

    colours = {"image_mean": recording.about["mean"], "image_std": recording.about["std"]}

    def pixels(picture: Any, side: int) -> torch.Tensor:
        processor = type(loaded.processor.image_processor)(image_size=side, **colours)
        seen: torch.Tensor = processor([model.fit.apply(picture, side)], return_tensors="pt")[0]
        return seen

    check_pixels(recording, pixels, 56)


def test_answers_have_the_recorded_logits_tokens_and_settings(
    recording: Recording, idefics: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, loaded = idefics
    for name, case in cases(recording):
        call, _ = greedy(model, loaded, loaded.model, asked(case))
        check_answer(recording, name, call)
        theirs = without(case["settings"], ["bad_words_ids", "max_new_tokens"])  # 100 with the prompt, for the card
        assert without(call.settings, ["max_new_tokens"]) == theirs
        assert sorted(model.further(loaded)["bad_words_ids"]) == sorted(case["settings"]["bad_words_ids"])


def test_answers_are_read_as_published(recording: Recording, idefics: tuple[Any, Any]) -> None:
    tokenizer = idefics[1].processor.tokenizer
    for text, decoded in recording.about["decoded"].items():
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == decoded
