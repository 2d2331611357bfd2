"""LLaVA's prompt, InstructBLIP, IDEFICS and Shikra: what their presets add to transformers' classes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from mmsb.convert.conversion import Conversion
from mmsb.errors import ModelError
from mmsb.image_mode.typography import TypedText
from mmsb.model.hf import HF
from mmsb.model.memory_check import needed
from mmsb.preflight.memory import weights_fit
from mmsb.types import Prompt, Response
from tests.asking import Named, generated, named
from tests.composed_models import Published, eight_prompts, preset, tokenizer_folder
from tests.small_families import save_small_idefics, save_small_instructblip
from tests.small_llava import tokenizer
from tests.small_shikra import VISION, clip_shapes, language_shapes, save_published_shikra
from tests.small_today import save_small_gemma3, save_small_idefics3, save_small_llava_next, save_small_mllama

TODAY = [
    ("llava_next", save_small_llava_next),
    ("gemma3_4b", save_small_gemma3),
    ("llama_3_2_vision_11b", save_small_mllama),
    ("idefics3_8b", save_small_idefics3),
]
SMALL = {"dtype": "float32", "device": "cpu", "max_new_tokens": 10}


def texts(engine: HF, prompts: tuple[Named, ...]) -> dict[str, str]:
    replies = generated(engine, prompts)
    return {name: outcome.text for name, outcome in replies.items() if isinstance(outcome, Response)}


@pytest.fixture(scope="module")
def instructblip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_small_instructblip(tmp_path_factory.mktemp("instructblip"))
    return preset("instructblip_7b", name_or_path=str(folder), **SMALL)


@pytest.fixture(scope="module")
def idefics(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_small_idefics(tmp_path_factory.mktemp("idefics"))
    return preset("idefics_9b", name_or_path=str(folder), **SMALL)


@pytest.fixture(scope="module")
def llava(small_llava: Path) -> Any:
    return preset("llava_1_5_7b", name_or_path=str(small_llava), **SMALL)


@pytest.fixture(scope="module")
def shikra(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("shikra")
    files = save_published_shikra(root / "sources")
    model = preset("shikra", name_or_path=str(root / "shikra"), **SMALL)
    Conversion(model=model, sources=root / "sources").run()
    return model, files


@pytest.mark.parametrize("family", ["instructblip", "idefics", "llava", "shikra"])
def test_a_batch_answers_as_one_by_one(family: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(family)
    model = model[0] if isinstance(model, tuple) else model
    alone = texts(dataclasses.replace(model, batch_size=1), eight_prompts())
    assert len(alone) == 8
    assert len(set(alone.values())) > 2
    assert texts(dataclasses.replace(model, batch_size=8), eight_prompts()) == alone


@pytest.mark.parametrize(("name", "save"), TODAY)
def test_todays_models_answer_a_batch_as_one_by_one(name: str, save: Callable[[Path], Path], tmp_path: Path) -> None:
    model = preset(name, name_or_path=str(save(tmp_path)), **SMALL)
    alone = texts(dataclasses.replace(model, batch_size=1), eight_prompts())
    assert len(alone) == 8
    assert texts(dataclasses.replace(model, batch_size=8), eight_prompts()) == alone


def test_instructblip_sees_a_picture_the_same_in_every_batch(instructblip: Any) -> None:
    loaded = instructblip.load()
    short, long = named("1", "what?", TypedText("a")), named("2", "what is this long question about?", TypedText("b"))
    with torch.inference_mode():
        alone = instructblip.embed(loaded, instructblip.inputs(loaded, [short]))["inputs_embeds"][0, :4]
        beside = instructblip.embed(loaded, instructblip.inputs(loaded, [short, long]))["inputs_embeds"][0, :4]
        wrong = loaded.processor(images=[TypedText("a").load()] * 2, text=["what?", long.text], padding=True)
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=1e-5)
    assert wrong["qformer_attention_mask"][0][0] == 0  # why it is padded here: transformers pads it on the left


def test_idefics_reads_an_address_as_text(idefics: Any) -> None:
    loaded = idefics.load()
    address = "http://127.0.0.1:9/picture.png"  # nothing listens there: opening it would fail
    inputs = idefics.inputs(loaded, [named("1", address, TypedText("x"))])
    text = loaded.processor.tokenizer.decode(inputs["input_ids"][0])
    assert address in text
    assert text.count("<image>") == 1


def test_every_published_key_of_shikra_lands_at_full_size(tmp_path: Path) -> None:
    clip = VISION | {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    clip |= {"image_size": 224, "projection_dim": 768}
    llama = LlamaConfig(vocab_size=32003)
    shapes = {"vision": clip_shapes(clip), "language": language_shapes(LlamaConfig()), "delta": language_shapes(llama)}
    shapes["delta"] |= {"model.mm_projector.weight": (4096, 1024), "model.mm_projector.bias": (4096,)}
    with torch.device("meta"):
        files = {entry: {key: torch.empty(shape) for key, shape in held.items()} for entry, held in shapes.items()}
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": clip, **llama.to_dict()}))
    source, model = Published(files, tokenizer_folder(tmp_path)), preset("shikra")
    made = {key: tuple(tensor.shape) for key, tensor in model.convert(source)}
    assert made == {key: tuple(shape) for key, shape in model.shapes(source).items()}


@pytest.mark.parametrize(
    ("name", "picture"), [("llava_1_5_7b", " <image>\n"), ("shikra", "<im_start><im_patch><im_end>")]
)
def test_the_vicuna_prompt_takes_a_system_text_of_its_own(name: str, picture: str, small_llava: Path) -> None:
    model = preset(name, name_or_path=str(small_llava), **SMALL)
    loaded = HF(name="x", name_or_path=str(small_llava), backend="pil", device="cpu", dtype="float32").load()

    def text(prompt: Prompt) -> str:
        return str(
            loaded.processor.tokenizer.apply_chat_template(
                model._messages(loaded, prompt),
                chat_template=model.template,
                add_generation_prompt=True,
                tokenize=False,
            )
        )

    assert text(named("1", "What?", TypedText("x"), system="Be kind.")) == f"Be kind. USER:{picture}What? ASSISTANT:"
    assert text(named("1", "What?", system="Be kind.")) == "Be kind. USER: What? ASSISTANT:"


@pytest.mark.parametrize("name", ["llava_1_5_7b"])
def test_a_question_cannot_hold_a_picture(name: str, small_llava: Path) -> None:
    model = preset(name, name_or_path=str(small_llava), **SMALL)
    loaded = model.load()
    ids = model.ids(loaded, named("1", "<image> and </s>", TypedText("x")))
    assert ids.count(loaded.model.config.image_token_id) == 16
    assert loaded.processor.tokenizer.eos_token_id not in ids


def test_a_model_that_does_not_fit_says_so_before_it_is_loaded() -> None:
    model = preset("llava_1_5_13b", dtype="float32")
    assert model.card is not None
    huge = dataclasses.replace(model, device="cpu", card=dataclasses.replace(model.card, parameters=1e6))
    with pytest.raises(ModelError, match=r"needs 4000000\.0 GB for its weights in float32") as error:
        next(huge.generate(huge.batches([named("1", "x")])))
    assert "model.dtype=bfloat16" in error.value.remedy
    assert "model.quantization=4bit" in error.value.remedy


@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"version https://git-lfs.github.com/spec/v1\n", b"\xff" * 9])
def test_a_file_that_holds_no_weights_is_told_by_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    model = preset("llava_1_5_13b", name_or_path=str(tmp_path), **SMALL)
    told = weights_fit([model], "BasicLauncher")
    assert "model.safetensors is no file of weights, or only its beginning" in str(told)


def test_a_model_on_disk_is_measured_by_its_files(small_llava: Path) -> None:
    model = preset("llava_1_5_13b", name_or_path=str(small_llava), **SMALL)
    weights = model.load().model.parameters()
    count = sum(weight.numel() for weight in weights)
    assert needed(model) == 4 * count
    assert needed(dataclasses.replace(model, quantization="4bit")) == count / 2
    assert needed(preset("llava_1_5_13b")) == 13.35e9 * 2  # not on disk: from its card


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is here")
def test_a_model_that_needs_torchvision_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "smolvlm"}')
    (tmp_path / "processor_config.json").write_text('{"processor_class": "SmolVLMProcessor"}')
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "SmolVLMImageProcessor"}')
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="requires the Torchvision library") as error:
        preset("smolvlm2_256m", name_or_path=str(tmp_path)).load()
    assert "mmsb[local]" in error.value.remedy


def test_an_exchange_of_two_turns_is_refused_where_it_cannot_be_shown(idefics: Any) -> None:
    with pytest.raises(ModelError, match="cannot judge an exchange"):
        next(idefics.generate(idefics.batches([named("1", "x", reply="y")])))
