from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsb.errors import DataError
from mmsb.image_mode.typography import TypedText
from mmsb.model import pictures
from mmsb.model.fit import Fit
from mmsb.model.llava import Llava
from mmsb.model.pictures import side_by_side
from mmsb.types import Prompt


def test_pictures_are_prepared_on_all_cores_and_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "cores", lambda: 2)
    met = threading.Barrier(2, timeout=20)  # of one alone, nobody comes by

    def prepared(number: int) -> int:
        met.wait()
        return number * number

    assert side_by_side(prepared, [3, 1, 2, 0]) == [9, 1, 4, 0]


def test_one_that_cannot_be_decoded_is_named() -> None:
    def decoded(number: int) -> int:
        if number == 2:
            raise DataError("picture 2 is not a readable image", "")
        return number

    with pytest.raises(DataError, match="picture 2"):
        side_by_side(decoded, range(5))


def test_each_picture_of_a_batch_is_decoded_once(small_llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, load = [], TypedText.load

    def noted(self: TypedText) -> Image.Image:
        read.append(self.text)
        return load(self)

    monkeypatch.setattr(TypedText, "load", noted)
    common: dict[str, Any] = {"dtype": "float32", "device": "cpu", "backend": "pil"}
    model = Llava(name="x", name_or_path=str(small_llava), fit=Fit(how="pad"), **common)
    encoded = model.inputs(model.load(), [Prompt("list steps", TypedText(text)) for text in ("a", "b")])
    assert len(encoded["pixel_values"]) == 2
    assert sorted(read) == ["a", "b"]


@pytest.mark.parametrize("size", [(300, 41), (1024, 180), (41, 300), (64, 64), (65, 64), (500, 1)])
@pytest.mark.parametrize("side", [56, 336, None])
def test_a_padded_picture_has_the_pixels_of_the_square_that_is_resized(size: tuple[int, int], side: int | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture, colour, longer = Image.fromarray(noise), (122, 116, 104), max(size)
    square = Image.new("RGB", (longer, longer), colour)  # as LLaVA's expand2square has it
    square.paste(picture, ((longer - size[0]) // 2, (longer - size[1]) // 2))
    expected = square.resize((side or longer,) * 2, Image.Resampling.BICUBIC)
    assert Fit(how="pad", colour=colour).apply(picture, side).tobytes() == expected.tobytes()
