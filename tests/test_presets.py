"""Every preset of conf/model composes, is sound, and answers in all image modes in a tiny version."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from PIL import Image

from mmsb.convert.conversion import Conversion
from mmsb.model.composed.base import Composed
from mmsb.model.hf import HF
from mmsb.model.local import Local
from mmsb.model.picture_tokens import tokens_of_pictures
from mmsb.paths import conf_dir
from mmsb.picture import BytesPicture
from mmsb.types import Prompt, Response
from tests.composed_models import TINY, eight_prompts, preset, save_tiny
from tests.small_families import save_small_idefics, save_small_instructblip
from tests.small_llava import save_small_llava
from tests.small_shikra import save_published_shikra
from tests.small_today import save_small_gemma3, save_small_idefics3, save_small_llava_next, save_small_mllama

ALL = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
ANY = ("classifier", "hf", "ollama", "openai", "openrouter", "sglang", "text", "tiny", "transformers_serve", "vllm")
SMALL: dict[str, Callable[[Path], Any]] = {
    "gemma3_12b": save_small_gemma3,
    "gemma3_4b": save_small_gemma3,
    "idefics3_8b": save_small_idefics3,
    "idefics_9b": save_small_idefics,
    "instructblip_13b": save_small_instructblip,
    "instructblip_7b": save_small_instructblip,
    "llama_3_2_vision_11b": save_small_mllama,
    "llava_1_5_13b": save_small_llava,
    "llava_1_5_7b": save_small_llava,
    "llava_next": save_small_llava_next,
}
NEED_TORCHVISION = (
    "glm_4_1v_9b",
    "internvl3_8b",
    "llava_onevision",
    "phi_4_multimodal",
    "pixtral_12b",
    "qwen2_5_vl_7b",
    "qwen3_vl_8b",
    "smolvlm2_256m",
)
NAMED = [name for name in ALL if name not in ANY]

Saved = Callable[[Callable[[Path], Any]], Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A folder with the checkpoint that a function saves, made once for all presets of its kind."""

    @cache
    def made(save: Callable[[Path], Any]) -> Path:
        folder = tmp_path_factory.mktemp("saved") / "checkpoint"
        save(folder)
        return folder

    return made


def tiny_version(name: str, folder: Path, saved: Saved) -> Any:
    """The preset with a random tiny checkpoint of its own architecture, in float32."""
    model = preset(name)
    small: dict[str, Any] = {"dtype": "float32", "device": "cpu", "max_new_tokens": 8}
    here: dict[str, Any] = {"name_or_path": str(folder / name)}
    if isinstance(model, Composed):
        assert type(model).__name__ in TINY, f"add sizes for {type(model).__name__} to tests/composed_models.py"
        model = dataclasses.replace(model, parts=TINY[type(model).__name__], **small, **here)
        save_tiny(model, folder / name)
    elif name == "shikra":
        model = dataclasses.replace(model, **small, **here)
        save_published_shikra(folder / "sources")
        Conversion(model=model, sources=folder / "sources").run()
    else:
        model = dataclasses.replace(model, **small, name_or_path=str(saved(SMALL[name])))
    return model


@pytest.mark.parametrize("name", NAMED)
def test_a_tiny_version_answers_in_all_image_modes(name: str, tmp_path: Path, saved: Saved) -> None:
    if name in NEED_TORCHVISION:
        pytest.skip("its processor needs torchvision, and no tiny version of it is built here")
    model = tiny_version(name, tmp_path, saved)
    outcomes = dict(model.generate(model.batches(eight_prompts())))
    assert len(outcomes) == 8
    for prompt, outcome in outcomes.items():
        assert isinstance(outcome, Response), (prompt.text, outcome)
        assert 0 < (outcome.output_tokens or 0) <= 8
        assert outcome.input_tokens
    planned = tokens_of_pictures(model)
    assert planned
    # tokens that mark where a picture begins and ends; pictures themselves are counted exactly, whatever their size
    around = {read_for_a_picture(model, *size) - planned(size) for size in ((120, 120), (200, 60))}
    assert len(around) == 1
    assert 0 <= around.pop() <= 8


def read_for_a_picture(model: Local, width: int, height: int) -> int:
    """Tokens that a model reads more of a prompt with a picture."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    shown = [
        model.inputs(model.opened(), [Prompt("list", image)]) for image in (None, BytesPicture(file.getvalue(), "red"))
    ]
    if isinstance(model, Composed):  # whose text is another where there is no picture
        return int(model.embed(model.opened(), shown[1]).mask.sum()) - sum(map(len, shown[1].segments[0]))
    without, with_one = (int(one["attention_mask"].sum()) for one in shown)
    return with_one - without


@pytest.mark.parametrize("name", NAMED)
def test_a_preset_says_what_it_is(name: str) -> None:
    model = preset(name)
    assert model.name == name  # the name on the command line is the one in tables
    card = model.card
    assert card is not None
    assert card.licence
    assert card.source.startswith("https://")
    assert card.parameters
    assert "weights" in card.unverified  # no published weights were loaded
    if isinstance(model, HF) and not hasattr(model, "source"):
        assert card.source == f"https://huggingface.co/{model.name_or_path}"
    else:
        assert model.source
        assert model.name_or_path == f"checkpoints/{name}"


@pytest.mark.parametrize("name", NAMED)
def test_what_changes_answers_is_in_the_fingerprint_and_the_card_is_not(name: str) -> None:
    model = preset(name)
    assert dataclasses.replace(model, card=None).fingerprint() == model.fingerprint()
    assert dataclasses.replace(model, max_new_tokens=7).fingerprint() != model.fingerprint()
    other = "crop" if model.fit.how != "crop" else "squash"
    assert (
        dataclasses.replace(model, fit=dataclasses.replace(model.fit, how=other)).fingerprint() != model.fingerprint()
    )


def test_no_preset_is_forgotten() -> None:
    covered = {*ANY, *SMALL, *NEED_TORCHVISION, "shikra"}
    composed = {name for name in ALL if "composed" in str(OmegaConf.load(conf_dir() / f"model/{name}.yaml"))}
    composed |= {"minigpt4_13b", "minigpt5"}
    assert covered | composed == set(ALL)
