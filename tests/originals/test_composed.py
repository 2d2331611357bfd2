"""Every composed preset does what its authors' own code did: token ids, pixels, logits, tokens, sampler's arguments.

The real presets run here, through conversion and strict loading; only sizes are shrunk. A preset without a recording
fails.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from mmsb.model.generation import response
from tests.originals.replay import Replay, converted
from tools.originals.common import PICTURES, STEPS, picture, picture_digest

RECORDED_AS = {
    "minigpt4": "minigpt4",
    "minigpt4_13b": "minigpt4",
}
Replays = Callable[[str], Replay]
each = pytest.mark.parametrize("name", RECORDED_AS)


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Replays:
    folder = tmp_path_factory.mktemp("originals")
    return cache(lambda name: converted(name, RECORDED_AS[name], folder))


@each
def test_token_ids_are_the_authors(name: str, replays: Replays) -> None:
    replay = replays(name)
    for case, asked in replay.recording.about["cases"].items():
        assert replay.model.segments(replay.loaded.tokenizer, replay.prompt(case)) == asked["ids"], case


@each
def test_pixels_are_the_authors(name: str, replays: Replays) -> None:
    replay = replays(name)
    side = replay.loaded.parts["vision"]["image_size"]
    assert set(replay.recording.about["pictures"]) == set(PICTURES)
    for shown, digest in replay.recording.about["pictures"].items():
        assert picture_digest(picture(shown)) == digest, "this machine draws another picture"
        ours = replay.model.pixels([picture(shown)], side)[0].double()
        torch.testing.assert_close(ours, replay.recording.normalised(shown), rtol=0, atol=1e-6)


@each
def test_logits_and_tokens_are_the_authors(name: str, replays: Replays) -> None:
    replay = replays(name)
    for case, asked in replay.recording.about["cases"].items():
        call, _ = replay.answer(case)
        assert call.tokens == asked["tokens"], case
        assert call.passes == asked["passes"], case
        logits = replay.recording.tensors[f"logits.{case}"]
        torch.testing.assert_close(torch.stack(call.logits), logits, rtol=1e-4, atol=1e-4)
    assert len({tuple(asked["tokens"]) for asked in replay.recording.about["cases"].values()}) > 2


@each
def test_the_arguments_that_reach_the_sampler_are_the_authors(name: str, replays: Replays) -> None:
    replay = replays(name)
    call, _ = replay.answer("typed")
    assert call.settings == replay.recording.about["arguments"]
    assert list(replay.model.stop) == replay.recording.about["stop"]


@each
def test_a_sampled_answer_is_the_authors_with_the_same_seed(name: str, replays: Replays) -> None:
    replay = replays(name)
    sampled = {case: asked["sampled"] for case, asked in replay.recording.about["cases"].items() if "sampled" in asked}
    assert bool(sampled) == replay.recording.about["arguments"]["do_sample"]
    for case, tokens in sampled.items():
        call, _ = replay.answer(case, do_sample=True)
        assert call.tokens == tokens, case
        assert len(tokens) <= STEPS


@each
def test_an_answer_is_read_as_the_authors_read_it(name: str, replays: Replays) -> None:
    replay = replays(name)
    for read in replay.recording.about["read"]:
        ours = response(replay.loaded.tokenizer, read["tokens"], 1, 99, replay.model.stop, replay.model.answer_after)
        assert ours.text == read["text"], read
