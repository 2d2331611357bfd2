"""Otter replays what its authors' code did: Luodian/Otter, model and benchmark adapter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.composed_models import TINY
from tests.originals.held import asked, cases, check_answer, check_pixels, composed, greedy, without
from tests.test_composed_otter import published
from tools.originals.common import Recording

BEAMS = "beams"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording.load("otter")


@pytest.fixture(scope="module")
def otter(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = tmp_path_factory.mktemp("otter") / "converted"
    model = composed("otter", recording, "gpt_neox", folder, recording.about["scale"])
    return model, model.load()


def test_answers_are_read_as_the_authors_read_them(recording: Recording, otter: tuple[Any, Any]) -> None:
    _, loaded = otter
    for text, decoded in recording.about["decoded"].items():
        assert loaded.tokenizer.decode(loaded.tokenizer(text)["input_ids"]) == decoded


def test_prompts_have_the_recorded_ids(recording: Recording, otter: tuple[Any, Any]) -> None:
    model, loaded = otter
    for name, case in cases(recording):
        assert model.segments(loaded.tokenizer, asked(case)) == case["ids"], name


def test_pictures_have_the_recorded_pixels(recording: Recording, otter: tuple[Any, Any]) -> None:
    model, loaded = otter
    side = loaded.parts["vision"]["image_size"]
    check_pixels(recording, lambda picture, side: model.pixels([picture], side)[0], side)


def test_greedy_answers_have_the_recorded_logits_and_tokens(recording: Recording, otter: tuple[Any, Any]) -> None:
    model, loaded = otter
    for name, case in cases(recording):
        if name != BEAMS:
            net = loaded.net.language_model
            call, _ = greedy(model, loaded, net, asked(case), num_beams=1, no_repeat_ngram_size=0)
            check_answer(recording, name, call)


def test_the_presets_own_decoding_has_the_recorded_settings_and_answer(
    recording: Recording, otter: tuple[Any, Any]
) -> None:
    model, loaded = otter
    case = recording.about["cases"][BEAMS]
    call, response = greedy(model, loaded, loaded.net.language_model, asked(case))
    assert response.text == case["text"]
    assert call.tokens == case["tokens"]
    assert without(call.settings, ["use_cache"]) == without(case["settings"], ["use_cache"])
    assert not case["settings"]["use_cache"]  # the cache changes the time, not the numbers: the logits above are equal


def test_the_keys_checked_at_full_size_are_the_recorded_ones(recording: Recording) -> None:
    (shapes,) = published(TINY["Otter"]).values()
    held = {key: list(shape) for key, shape in shapes.items() if not key.endswith("position_ids")}
    assert held == recording.about["weights"]["model"]
