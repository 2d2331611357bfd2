"""Every composed preset does what its authors' own code did: token ids, pixels, logits, tokens, sampler's arguments.

The real presets run here, through conversion and strict loading; only sizes are shrunk. A preset without a recording
fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch

from mmsb.model.generation import response
from tests.originals.replay import Replay, converted
from tests.plain import check_batches
from tools.originals.common import PICTURES, STEPS, Call, bytes_digest, levels, picture, picture_digest

RECORDED_AS = {
    "cogvlm": "cogvlm",
    "minigpt4": "minigpt4",
    "minigpt4_13b": "minigpt4",
    "minigpt_v2": "minigpt_v2",
    "minigpt5": "minigpt5",
    "mplug_owl": "mplug_owl",
    "qwen_vl_chat": "qwen_vl_chat",
}
DEMOS = {  # as the header of the preset's file says
    "minigpt_v2": {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 50, "repetition_penalty": 1.05}
}
FORCED = {"minigpt5": range(421, 428)}  # [IMG1] to [IMG7], which the authors' code puts behind [IMG0] in one pass
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
def test_pixels_at_the_published_size_are_the_authors(name: str, replays: Replays) -> None:
    model, about = replays(name).model, replays(name).recording.about
    side = model.PARTS["vision"]["image_size"]
    assert about["full"]["side"] == side
    for shown in PICTURES:
        ours = levels(model.pixels([picture(shown)], side)[0], about["mean"], about["std"])
        assert bytes_digest(ours) == about["full"][shown], shown


def undrawn(call: Call, forced: Sequence[int]) -> Call:
    """The call as the authors' code makes it: `forced` tokens come with the one before, and are in no answer."""
    tokens, logits, passes = list[int](), list[torch.Tensor](), list[int]()
    waiting = 1
    for step, token in enumerate(call.tokens):
        if token in forced:
            waiting += 1
            continue
        tokens.append(token)
        logits.append(call.logits[step])
        passes.append(call.passes[step] if step == 0 else waiting)
        waiting = 1
    return dataclasses.replace(call, tokens=tokens[:STEPS], logits=logits[:STEPS], passes=passes[:STEPS])


@each
def test_logits_and_tokens_are_the_authors(name: str, replays: Replays) -> None:
    replay = replays(name)
    for case, asked in replay.recording.about["cases"].items():
        call = undrawn(replay.answer(case, max_new_tokens=STEPS + len(FORCED.get(name, ())))[0], FORCED.get(name, ()))
        assert call.tokens == asked["tokens"], case
        assert call.passes == asked["passes"], case
        logits = replay.recording.tensors[f"logits.{case}"]
        torch.testing.assert_close(torch.stack(call.logits), logits, rtol=1e-4, atol=1e-4)
    assert len({tuple(asked["tokens"]) for asked in replay.recording.about["cases"].values()}) > 2


@pytest.mark.parametrize("name", ["minigpt4", "minigpt5", "minigpt_v2"])
def test_the_norm_behind_the_tower_divides_as_the_authors(name: str, replays: Replays) -> None:
    replay = replays(name)  # too small a difference for the logits to show
    assert replay.loaded.net.vision_model.post_layernorm.eps == replay.recording.about["ln_vision_eps"]


@each
def test_the_arguments_that_reach_the_sampler_are_the_authors(name: str, replays: Replays) -> None:
    replay = replays(name)
    call, _ = replay.answer("typed")
    authors = dict(replay.recording.about["arguments"])
    if authors["max_new_tokens"] is None:  # their limit is one of prompt and answer together
        authors["max_new_tokens"] = replay.model.max_new_tokens
    assert call.settings == authors
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


@pytest.mark.parametrize("name", DEMOS)
def test_the_demos_sampling_is_the_authors(name: str, replays: Replays) -> None:
    told = replays(name)
    replay = dataclasses.replace(told, model=dataclasses.replace(told.model, generation=DEMOS[name]))
    demo = told.recording.about["demo"]
    for case, tokens in demo["sampled"].items():
        call, _ = replay.answer(case, do_sample=True)
        assert call.tokens == tokens, case
        assert call.settings == demo["arguments"]


@each
def test_an_answer_is_read_as_the_authors_read_it(name: str, replays: Replays) -> None:
    replay = replays(name)
    for read in replay.recording.about["read"]:
        ours = response(replay.loaded.tokenizer, read["tokens"], 1, 99, replay.model.stop, replay.model.answer_after)
        assert ours.text == read["text"], read


@pytest.mark.parametrize("name", sorted(set(RECORDED_AS.values())))
def test_a_batch_answers_as_one_by_one(name: str, replays: Replays) -> None:
    check_batches(dataclasses.replace(replays(name).model, generation={}, stop=(), max_new_tokens=6))
