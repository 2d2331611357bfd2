"""Pictures of an images endpoint: asked for as answers are, by the server's own record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmsb.create.pictures import drawn_by
from mmsb.driver import Driver
from mmsb.errors import ConfigError, ModelError
from mmsb.generator.base import order
from mmsb.generator.endpoint import Endpoint
from mmsb.model.endpoints import FOLDER, Endpoints
from mmsb.model.openai import OpenAI
from mmsb.store import Store
from mmsb.types import Failure, Prompt, Response
from tests.endpoint import GARBAGE, HANG, Act, completion, error, impatient
from tests.images_endpoint import ImagesServer
from tests.side_by_side import together

pytestmark = pytest.mark.usefixtures(impatient.__name__)
KEY = "sk-canary-0123456789abcdef"
Outcomes = Mapping[str, Image.Image | Failure]


def painter(url: str, **changes: Any) -> Endpoint:
    return Endpoint(**{"name": "painter", "base_url": url, "api_key_env": None, **changes})


def asked(generator: Endpoint, phrases: list[str], folder: Path) -> Outcomes:
    orders = [order(generator, "14-Bread", phrase, phrase) for phrase in phrases]
    endpoints = Endpoints([], Store(folder).shelf, folder / FOLDER)
    return {made.phrase: drawn for made, drawn in drawn_by(generator, generator.batches(orders), endpoints)}


def causes(outcomes: Outcomes) -> dict[str, str]:
    return {phrase: found.cause if isinstance(found, Failure) else "drawn" for phrase, found in outcomes.items()}


def test_it_draws_and_what_it_refuses_fails(tmp_path: Path) -> None:
    with ImagesServer() as server:
        generator = painter(server.url, send_seed=True, extra={"quality": "low"})
        found = causes(asked(generator, ["toast a slice", "bake bread", "eat it"], tmp_path))
    # Refused first of all, and yet the others are drawn; a link is never followed.
    assert found == {"toast a slice": "blocked", "bake bread": "drawn", "eat it": "malformed"}
    (sent,) = [body for body in server.requests if "bake" in body["prompt"]]
    seed = order(generator, "14-Bread", "bake bread", "bake bread").seed
    about = {"model": "painter", "prompt": "A photo of bake bread", "size": "1024x1024", "n": 1, "quality": "low"}
    assert sent == {**about, "seed": seed}
    assert server.attempts["A photo of toast a slice"] == 1
    assert server.attempts["A photo of eat it"] == 3


ACTS: dict[str, tuple[Act, str]] = {
    "busy": (error(429, "busy", retry_after_ms="200"), "drawn"),
    "broken": (error(500, "broken"), "drawn"),
    "hanging": (HANG, "drawn"),
    "dripping": (Act(body={"data": []}, drip=0.1), "drawn"),
    "garbled": (GARBAGE, "drawn"),
    "no picture": (Act(body={"data": [{"b64_json": "aGVsbG8="}]}), "drawn"),
    "huge": (Act(body=b" " * 1_000_000, times=150), "drawn"),
    "unwanted": (error(400, "size?"), "http_400"),
}


def test_whatever_the_server_does_once_the_picture_is_drawn_or_failed(tmp_path: Path) -> None:
    def act(prompt: str, attempt: int) -> Act | None:
        return ACTS[prompt][0] if attempt == 1 and prompt in ACTS else None

    with ImagesServer(act) as server:
        found = asked(painter(server.url, prompt="{phrase}", timeout=1), ["fine", *ACTS], tmp_path)
    assert causes(found) == {"fine": "drawn", **{name: expected for name, (_, expected) in ACTS.items()}}
    assert server.attempts == {"fine": 1, **{name: 1 + (expected == "drawn") for name, (_, expected) in ACTS.items()}}
    assert server.pieces < 120  # neither the hundred and fifty of 1 MB nor the drip is read to its end
    first, second = (when for when, body in zip(server.times, server.requests, strict=True) if body["prompt"] == "busy")
    assert second - first >= 0.2  # as it was told to


def test_a_language_model_and_a_generator_at_one_endpoint_share_its_places(tmp_path: Path) -> None:
    def chat() -> None:
        model, store = OpenAI(name="x", base_url=server.url, api_key_env=None, concurrency=6), Store(tmp_path)
        with Driver(store, [model]) as driver:

            async def call(text: str) -> Any:
                return await driver.call(model, Prompt(text))

            assert all(isinstance(answer, Response) for answer in driver.run(map(str, range(10)), call))
        store.close()

    def draw() -> None:
        outcomes = asked(painter(server.url, concurrency=6), [f"loaf {n}" for n in range(10)], tmp_path)
        assert set(causes(outcomes).values()) == {"drawn"}

    answer = Act(body=completion("yes"), delay=0.02)
    with ImagesServer(lambda text, attempt: answer if text.isdigit() else None, delay=0.02) as server:
        together(chat, draw)
    assert server.attempts.total() == 20
    assert server.most <= 6  # not twelve


def test_an_endpoint_that_fails_everything_ends_the_step_and_goes_on_once_it_is_mended(tmp_path: Path) -> None:
    broken = True
    with ImagesServer(lambda prompt, attempt: error(500, f"down, {KEY}") if broken else None) as server:
        generator = painter(server.url, give_up=0.3)
        with pytest.raises(ModelError, match="has failed everything for") as caught:
            asked(generator, [f"loaf {n}" for n in range(100)], tmp_path)
        assert "give_up=SECONDS" in caught.value.remedy
        assert server.attempts.total() < 40
        broken = False
        found = causes(asked(generator, [f"loaf {n}" for n in range(100)], tmp_path))
    assert set(found.values()) == {"drawn"}


def test_a_refused_key_or_model_stops_the_rest_and_no_key_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAINTER_KEY", KEY)
    with ImagesServer(lambda prompt, attempt: error(401, f"not with {KEY}")) as server:
        generator = painter(server.url, api_key_env="PAINTER_KEY", concurrency=1)
        with pytest.raises(ModelError, match="refuses painter") as caught:
            asked(generator, [f"loaf {n}" for n in range(100)], tmp_path)
    assert server.attempts.total() == 1
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "canary" not in str(caught.value)
    unknown = error(404, "no such model")
    expected = pytest.raises(ModelError, match="no model name=painter, or no /images/generations")
    with ImagesServer(lambda prompt, attempt: unknown) as server, expected:
        asked(painter(server.url), ["bread"], tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"), [("api_key_env", KEY), ("base_url", f"http://u:{KEY}@127.0.0.1/v1"), ("base_url", "nowhere")]
)
def test_what_is_no_name_or_no_url_is_refused_and_no_key_is_told(setting: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        painter("http://127.0.0.1/v1", **{setting: value})
    assert "canary" not in str(caught.value)
