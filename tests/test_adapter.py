"""model.adapter: a LoRA fine-tune changes answers as peft says, is in the fingerprint, and must fit wholly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmsb.errors import ConfigError, ModelError
from mmsb.model.adapter import old_names
from mmsb.model.fit import Fit
from mmsb.model.hf import HF
from tests.composed_models import TINY, eight_prompts, preset, save_tiny

FP32: dict[str, Any] = {"dtype": "float32", "device": "cpu", "max_new_tokens": 8, "threads": 1}


def tuned(base: Any, folder: Path, seed: int = 0, **settings: Any) -> Path:
    """A random LoRA of a loaded model, saved as peft saves it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    wide = {"r": 4, "lora_alpha": 64, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    with old_names():
        get_peft_model(base, LoraConfig(**{**wide, **settings})).save_pretrained(str(folder))
    return folder


@pytest.fixture
def llava(small_llava: Path) -> Any:
    return HF(name="llava", name_or_path=str(small_llava), backend="pil", fit=Fit(how="pad"), **FP32)


def texts(model: Any) -> list[str]:
    loaded, prompts = model.load(), eight_prompts()
    return [model.run(loaded, model.inputs(loaded, [prompt]), 0)[0].text for prompt in prompts]


def test_answers_are_those_of_weights_with_the_delta_merged_by_hand(llava: Any, tmp_path: Path) -> None:
    adapter = tuned(llava.load().model, tmp_path / "lora")
    ours = texts(dataclasses.replace(llava, adapter=adapter))
    loaded, delta = llava.load(), load_file(adapter / "adapter_model.safetensors")
    state = loaded.model.state_dict()
    for key in [key for key in delta if ".lora_A." in key]:
        name = key.removeprefix("base_model.model.").replace(".lora_A", "")
        state[name] += 64 / 4 * delta[key.replace("lora_A", "lora_B")] @ delta[key]  # alpha / rank * B A
    by_hand = [llava.run(loaded, llava.inputs(loaded, [prompt]), 0)[0].text for prompt in eight_prompts()]
    assert ours == by_hand
    assert ours != texts(llava)


def test_the_adapter_is_in_the_fingerprint_by_its_content(llava: Any, tmp_path: Path) -> None:
    first = tuned(llava.load().model, tmp_path / "first")
    second = tuned(llava.load().model, tmp_path / "second", seed=1)
    prints = [dataclasses.replace(llava, adapter=folder).fingerprint() for folder in (None, first, second)]
    assert "adapter" not in prints[0]
    assert len({str(found) for found in prints}) == 3
    first.rename(tmp_path / "elsewhere")
    assert dataclasses.replace(llava, adapter=tmp_path / "elsewhere").fingerprint() == prints[1]


def test_a_composed_preset_takes_one_too(tmp_path: Path) -> None:
    name = "minigpt4"
    model = dataclasses.replace(
        preset(name), name_or_path=str(tmp_path / name), parts=TINY["MiniGPT4"], protocol="greedy", **FP32
    )
    save_tiny(model, tmp_path / name)
    adapter = tuned(model.load().net.language_model, tmp_path / "lora")
    assert texts(dataclasses.replace(model, adapter=adapter)) != texts(model)


def test_an_adapter_that_does_not_fit_is_refused(llava: Any, tmp_path: Path) -> None:
    adapter = tuned(llava.load().model, tmp_path / "lora")
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    first = sorted(weights)[0]
    save_file({key: tensor for key, tensor in weights.items() if key != first}, file)
    with (
        pytest.warns(UserWarning, match="missing adapter keys"),
        pytest.raises(ModelError, match="1 weights without a counterpart"),
    ):
        dataclasses.replace(llava, adapter=adapter).load()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["no_such"]}))
    with pytest.raises(ModelError, match="does not fit"):
        dataclasses.replace(llava, adapter=adapter).load()
    with pytest.raises(ConfigError, match=r"holds no adapter_config\.json"):
        dataclasses.replace(llava, adapter=tmp_path).check()


def test_without_peft_it_says_what_to_install(llava: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'mmsb\[lora\]'"):
        dataclasses.replace(llava, adapter=tmp_path).check()


def test_a_run_with_an_adapter(mmsb: Callable[..., Any], small_llava: Path, llava: Any, tmp_path: Path) -> None:
    adapter = tuned(llava.load().model, tmp_path / "lora")
    command = (f"model.name_or_path={small_llava}", "model.max_new_tokens=4", "scenario=fraud", "dataset.limit=1")
    ran = mmsb(*command, f"model.adapter={adapter}", "image_mode=text_only", "tracker=none")
    assert ran.returncode == 0, ran.stderr
    (path,) = tmp_path.glob("outputs/runs/*/run.json")
    assert json.loads(path.read_text())["record"]["model"]["adapter"]
