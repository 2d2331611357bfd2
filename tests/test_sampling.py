"""Settings that would change nothing are refused, and every preset's are not."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from mmsb.errors import ConfigError
from mmsb.model.sampling import check_endpoint, check_local
from mmsb.paths import conf_dir


@pytest.mark.parametrize(
    ("generation", "repeats", "said"),
    [
        ({"temperature": 0.7}, 1, "model.generation.temperature=0.7"),
        ({"do_sample": False, "top_p": 0.9, "top_k": 5}, 1, "model.generation.top_k=5, model.generation.top_p=0.9"),
        ({"do_sample": None, "min_p": 0.1}, 1, "model.generation.min_p=0.1"),
        ({"do_sample": True, "temperature": 0}, 1, "model.generation.temperature=0 with do_sample"),
        ({"length_penalty": 2.0}, 1, "model.generation.length_penalty=2.0"),
        ({"num_beams": 1, "early_stopping": True}, 1, "model.generation.early_stopping=True"),
        ({}, 3, "model.repeats=3"),
        ({"num_beams": 5}, 2, "model.repeats=2"),
    ],
)
def test_local_settings_that_change_nothing_are_refused(generation: Any, repeats: int, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_local(generation, repeats)
    assert said in raised.value.problem
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("generation", "repeats"),
    [
        ({}, 1),
        ({"do_sample": True}, 5),
        ({"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 0}, 5),
        ({"num_beams": 5, "length_penalty": 1.0}, 1),
        ({"repetition_penalty": 1.5, "temperature": None}, 1),
    ],
)
def test_local_settings_that_change_something_pass(generation: Any, repeats: int) -> None:
    check_local(generation, repeats)


@pytest.mark.parametrize(
    ("temperature", "top_p", "repeats", "extra", "said"),
    [
        (0, None, 2, {}, "model.repeats=2 at temperature 0"),
        (0.0, 0.9, 1, {}, "top_p=0.9: at temperature 0"),
        (0, None, 1, {"top_k": 20, "min_p": 0.1}, "top_k=20, min_p=0.1"),
        (1, None, 2, {"temperature": 0}, "model.repeats=2"),
    ],
)
def test_endpoint_settings_that_change_nothing_are_refused(
    temperature: float | None, top_p: float | None, repeats: int, extra: Any, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        check_endpoint(temperature, top_p, repeats, extra)
    assert said in raised.value.problem


@pytest.mark.parametrize(
    ("temperature", "top_p", "repeats", "extra"),
    [
        (0, None, 1, {}),
        (0, 1.0, 1, {"top_k": -1, "chat_template_kwargs": {}}),
        (None, 0.9, 5, {}),
        (0.7, 0.9, 5, {}),
        (0, None, 5, {"temperature": 1}),
    ],
)
def test_endpoint_settings_that_change_something_pass(
    temperature: float | None, top_p: float | None, repeats: int, extra: Any
) -> None:
    check_endpoint(temperature, top_p, repeats, extra)


def test_every_presets_settings_change_something() -> None:
    paths = sorted((conf_dir() / "model").rglob("*.yaml"))
    assert len(paths) > 30
    for path in paths:
        preset = OmegaConf.load(path)
        assert isinstance(preset, DictConfig)
        check_local(preset.get("generation") or {}, preset.get("repeats", 1))
        check_endpoint(preset.get("temperature"), preset.get("top_p"), preset.get("repeats", 1), {})
