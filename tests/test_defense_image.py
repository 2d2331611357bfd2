"""Changed pictures are the same on every run, and a vote over them decides between refusing and answering."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from mmsb.defense import image
from mmsb.defense.base import Ask
from mmsb.defense.image import CHANGES, How, Transformed, majority
from mmsb.driver import Driver
from mmsb.judge import reader
from mmsb.model.openai import OpenAI
from mmsb.picture import BytesPicture, Picture
from mmsb.store import Store
from mmsb.types import Failure, Prompt, Response
from tests.asking import named
from tests.defending import PICTURE, SORRY, ask, option, target

MODEL = OpenAI(name="x", base_url="http://x/v1", api_key_env=None)  # which nobody asks


@pytest.mark.parametrize("how", sorted(CHANGES))
def test_a_changed_picture_is_the_same_every_time_and_known_by_all_that_made_it(how: How) -> None:
    picture = Transformed(PICTURE, how, 0.5)
    assert picture.encoded() == Transformed(PICTURE, how, 0.5).encoded()
    assert picture.encoded()[1] == "image/jpeg"
    others: list[Picture] = [PICTURE, Transformed(PICTURE, how, 0.6), Transformed(PICTURE, how, 0.5, 1)]
    assert len({picture.identity, *(other.identity for other in others)}) == 4
    assert picture.load().tobytes() != PICTURE.load().tobytes()
    if how in ("crop", "rotate"):
        one, other = picture.load(), Transformed(PICTURE, how, 0.5, 1).load()
        assert one.size != other.size or ImageChops.difference(one, other).getbbox()


def test_copies_of_one_picture_decode_it_once_in_all_threads_together(monkeypatch: pytest.MonkeyPatch) -> None:
    loads, load = list[str](), BytesPicture.load

    def noted(picture: BytesPicture) -> Image.Image:
        loads.append(picture.name)
        return load(picture)

    monkeypatch.setattr(BytesPicture, "load", noted)
    monkeypatch.setattr(image, "DECODED", image.Decoded())
    data, kind = PICTURE.encoded()
    pictures = [BytesPicture(data + bytes([number]), f"{number}.{kind[-4:]}") for number in range(6)]
    copies = [Transformed(picture, "crop", 0.8, draw) for picture in pictures for draw in range(3)]
    with ThreadPoolExecutor(3) as pool:
        cut = list(pool.map(Transformed.encoded, copies))
    assert len(loads) == len(pictures)
    monkeypatch.setattr(image, "LARGE", 10)
    monkeypatch.setattr(image, "DECODED", image.Decoded())
    assert [copy.encoded() for copy in copies] == cut  # each from a picture of its own
    assert len(loads) == len(pictures) + len(copies)


def decided(folder: Path, *replies: Response) -> Response:
    """The reply that wins the vote."""
    store = Store(folder)
    with Driver(store) as driver:

        async def vote(_: int) -> Response:
            return await majority(replies, Ask(MODEL, (), driver.call))

        [winner] = driver.run([0], vote)
    store.close()
    assert isinstance(winner, Response)
    return winner


def test_the_majority_of_changed_copies_decides(tmp_path: Path) -> None:
    refusal, answer, last = Response(SORRY), Response("1. Take a pin. 2. Turn it."), Response("3. Pull.")
    unread = Response("이것은 자물쇠에 관한 질문입니다.")
    assert decided(tmp_path, answer, refusal, refusal) is refusal
    assert decided(tmp_path, answer, refusal, last) is answer
    assert decided(tmp_path, refusal, last, answer) is last
    assert decided(tmp_path, answer, refusal) is refusal
    assert decided(tmp_path, answer, refusal, last, answer) is answer
    assert decided(tmp_path, answer, refusal, last, refusal) is refusal
    assert decided(tmp_path, unread, refusal, last) is unread


def test_votes_are_read_until_they_are_decided_and_once_for_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_now, told = list[str | None](), reader.told

    def noted(prompts: list[Prompt]) -> list[Response]:
        read_now.extend(prompt.reply for prompt in prompts)
        return told(prompts)

    monkeypatch.setattr(reader, "told", noted)
    answers = [Response(f"{n}. Take pin number {n}.") for n in range(5)]
    assert decided(tmp_path, *answers) is answers[0]
    assert read_now == [answer.text for answer in answers[:3]]
    assert decided(tmp_path, *answers) is answers[0]
    assert len(read_now) == 3


def test_a_broken_picture_behind_an_image_defense_is_a_failure(tmp_path: Path) -> None:
    broken = named("q", "?", BytesPicture(b"no picture", "broken.png"))
    with target(tmp_path) as (model, _):
        outcomes = ask(model, option("blur"), broken, named("cake", "cake"))
    assert isinstance(outcomes["q"], Failure)


def test_crops_and_turns_keep_what_they_promise() -> None:
    import random

    red, chance = Image.new("RGB", (200, 100), "red"), random.Random(0)
    assert CHANGES["crop"](red, 0.8, chance).size == (160, 80)
    assert CHANGES["resize"](red, 0.1, chance).size == (200, 100)
    assert all(side >= old for side, old in zip(CHANGES["rotate"](red, 15, chance).size, (200, 100), strict=True))
