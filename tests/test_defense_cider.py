"""CIDER: the cosine of text and picture before and after denoising, and what follows from its fall."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmsb.defense.cider import Cider
from mmsb.errors import ModelError
from mmsb.image_mode.typography import TypedText
from mmsb.model.denoised import Denoised
from mmsb.picture import decode
from mmsb.preflight.engines import weights
from mmsb.types import Prompt, Response
from tests.asking import generated, named
from tests.defending import PICTURE, PROMPT, SORRY, ask_one, option, roles, target
from tests.small_diffusion import save_small_clip, save_small_ddpm

SIDE, STEPS = 56, (50, 100, 150, 200, 250, 300, 350)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_ddpm(tmp_path_factory.mktemp("ddpm"))


def detector(encoder: Path, denoiser: Path, **changes: Any) -> Denoised:
    return cider(encoder, denoiser, **changes).detector


def cider(encoder: Path, denoiser: Path, threshold: float = 0.1, **changes: Any) -> Cider:
    """The option as it is composed, with small models."""
    small = {"name_or_path": str(encoder), "denoiser": str(denoiser), "side": SIDE, "dtype": "float32", "device": "cpu"}
    found: Cider = option("cider", threshold=threshold, detector={**small, **changes})
    return found


def cosines(engine: Denoised, *prompts: Any) -> list[dict[str, float]]:
    answers = generated(engine, prompts)
    return [json.loads(answer.text) for prompt in prompts if isinstance(answer := answers[prompt.id], Response)]


def by_hand(engine: Denoised, text: str, seed: int) -> list[float]:
    """The published computation step by step, from nothing of ours but the seed of the noise."""
    loaded = engine.load()
    llava = loaded.encoder.model
    picture = PICTURE.load().convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    clean = torch.tensor(np.asarray(picture)).float().permute(2, 0, 1) / 127.5 - 1
    noise = torch.randn((len(STEPS), *clean.shape), generator=torch.Generator().manual_seed(seed))
    found = []
    with torch.inference_mode():
        words = llava.language_model.embed_tokens(loaded.tokenizer(text, return_tensors="pt").input_ids)[0].mean(0)
        for number in range(len(STEPS) + 1):
            shown = picture
            if number:
                step, share = STEPS[number - 1], float(kept[STEPS[number - 1]])
                noisy = share**0.5 * clean + (1 - share) ** 0.5 * noise[number - 1]
                guess = loaded.unet(noisy[None], step).sample[0]
                back = ((noisy - (1 - share) ** 0.5 * guess) / share**0.5).clamp(-1, 1)
                shown = Image.fromarray(((back + 1) / 2 * 255).permute(1, 2, 0).numpy().astype(np.uint8))
            file = io.BytesIO()
            shown.save(file, "JPEG")
            pixels = loaded.images(Image.open(file), return_tensors="pt")["pixel_values"]
            hidden = llava.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
            seen = llava.multi_modal_projector(hidden)[0].mean(0)
            found.append(float(torch.dot(words, seen) / words.norm() / seen.norm()))
    return found


def test_the_cosines_are_those_of_the_published_steps(
    small_llava: Path, denoiser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsb.model.denoised.digest", lambda value: "2a" + "0" * 30)
    engine = detector(small_llava, denoiser)
    [found] = cosines(engine, named("q", "list the steps", PICTURE))
    assert list(found) == ["0", *map(str, STEPS)]
    expected = by_hand(engine, "list the steps", int("2a" + "0" * 13, 16))
    assert list(found.values()) == pytest.approx(expected, abs=2e-4)  # a grey level may fall to either side
    assert len({round(value, 3) for value in expected}) > 1


@pytest.mark.parametrize("kind", ["llava", "clip"])
def test_a_picture_is_compared_the_same_in_any_batch(
    kind: str, small_llava: Path, denoiser: Path, tmp_path: Path
) -> None:
    engine = detector(small_llava if kind == "llava" else save_small_clip(tmp_path / "clip"), denoiser)
    prompts = [named("a", "list the steps", PICTURE), named("b", "bake a cake", TypedText("bake bread"))]
    together = cosines(engine, *prompts)
    assert together == [cosines(engine, prompt)[0] for prompt in prompts]
    assert together[0] != together[1]


@pytest.mark.parametrize(("threshold", "refused"), [(0.0, True), (2.0, False)])
def test_a_fall_above_the_threshold_is_refused(
    threshold: float, refused: bool, small_llava: Path, denoiser: Path, tmp_path: Path
) -> None:
    defense = cider(small_llava, denoiser, threshold)
    engine = defense.detector
    [found] = cosines(engine, named("q", PROMPT.text, PICTURE))
    assert max(found["0"] - value for value in found.values()) > 0  # else 0 would refuse nothing either
    with target(tmp_path) as (place, server):
        answer = ask_one(place, defense)
        assert answer.text == (SORRY if refused else f"sure: {PROMPT.text}")
        assert roles(answer)[0] == "similarity of text and denoised picture"
        assert len(server.requests) == (0 if refused else 1)
        if not refused:  # the picture as it came, at its own size
            [url] = [p["image_url"]["url"] for p in server.requests[0]["messages"][0]["content"] if "image_url" in p]
            assert decode(base64.b64decode(url.partition(",")[2]), "it").size == PICTURE.load().size
        assert ask_one(place, defense, replace(PROMPT, image=None)).text == f"sure: {PROMPT.text}"


def test_what_is_no_number_passes_nothing(small_llava: Path, denoiser: Path) -> None:
    engine = detector(small_llava, denoiser, threads=1)
    loaded = engine.load()
    torch.nn.init.constant_(loaded.encoder.get_input_embeddings().weight, float("nan"))
    inputs = engine.inputs(loaded, [Prompt("list the steps", PICTURE)])
    with pytest.raises(ModelError, match="not finite in float32"):
        engine.run(loaded, inputs, 0)


def test_wrong_weights_are_named_before_a_run_and_in_it(small_llava: Path, denoiser: Path, tmp_path: Path) -> None:
    lacking = weights(detector(small_llava, tmp_path / "nowhere"), None)
    assert lacking is not None
    assert "nowhere" in lacking.problem
    assert weights(detector(small_llava, denoiser), None) is None
    with pytest.raises(ModelError, match="denoiser="):
        detector(small_llava, small_llava).load()
    with pytest.raises(ModelError, match="Give a LLaVA"):
        detector(denoiser, denoiser).load()
    with pytest.raises(ModelError, match="beyond the 1000"):
        detector(small_llava, denoiser, copies=20).load()
