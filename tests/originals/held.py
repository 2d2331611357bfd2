"""What all replays share: a preset made small from a recording, and its pixels, prompts and answers held against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image

from mmsb.convert.conversion import make
from mmsb.types import Prompt
from tests.asking import named
from tests.composed_models import Published, preset
from tools.originals.common import PICTURES, Call, Recording, bytes_digest, levels, picture, picture_digest, weight
from tools.originals.spying import spied

TOKENIZERS = Path(__file__).parent / "tokenizers"
PIXELS, LOGITS = 1e-6, 1e-4  # the most that a value may differ
SMALL = {"dtype": "float32", "device": "cpu", "card": None}  # everything else is the preset's


def published(recording: Recording, scale: float = 0.25) -> dict[str, dict[str, torch.Tensor]]:
    """The published files of a recording: every weight by entry and key."""
    return {
        entry: {key: weight(key, tuple(shape), scale) for key, shape in shapes.items()}
        for entry, shapes in recording.about["weights"].items()
    }


def composed(name: str, recording: Recording, tokenizer: str, folder: Path, scale: float) -> Any:
    """A composed preset, converted from a recording's files into `folder`; only its sizes are changed."""
    model = preset(name, name_or_path=str(folder), parts=recording.about["sizes"], **SMALL)
    make(model, Published(published(recording, scale), TOKENIZERS / tokenizer), folder)
    return model


def asked(case: Mapping[str, Any]) -> Prompt:
    """The prompt of a recorded case; its picture is the recorded one."""
    shown = None if case["picture"] is None else SimpleNamespace(load=lambda: picture(case["picture"]), key="")
    return named("1", case["question"], shown)


@cache
def digests() -> dict[str, str]:
    """The pictures that this machine draws."""
    return {name: picture_digest(picture(name)) for name in PICTURES}


def check_pixels(recording: Recording, pixels: Callable[[Image.Image, int], torch.Tensor], side: int) -> None:
    """Every picture becomes the recorded pixels [3, side, side]: those of the small model and of the published one."""
    assert recording.about["pictures"] == digests()
    for name in PICTURES:
        ours, theirs = pixels(picture(name), side).double(), recording.normalised(name)
        assert ours.shape == theirs.shape, name
        assert float((ours - theirs).abs().max()) <= PIXELS, name
        full = recording.about["full"]
        seen = levels(pixels(picture(name), full["side"]), recording.about["mean"], recording.about["std"])
        assert bytes_digest(seen) == full[name], f"{name} at {full['side']}"


def check_squared_pixels(recording: Recording, model: Any, loaded: Any) -> None:
    """As `check_pixels`, through a CLIP processor of the hub that is told to make squares of a side."""
    images = type(loaded.processor.image_processor)

    def pixels(picture: Image.Image, side: int) -> torch.Tensor:
        squared = images(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        return processed(model, squared, picture, side)

    check_pixels(recording, pixels, 56)


def processed(model: Any, processor: Any, picture: Image.Image, side: int) -> torch.Tensor:
    """A picture's pixels [3, side, side] by a processor of the hub, behind the model's own fit."""
    seen: torch.Tensor = processor([model.fit.apply(picture, side)], return_tensors="pt")["pixel_values"][0]
    return seen


def from_hub(name: str, folder: Path) -> tuple[Any, Any]:
    """A preset of a checkpoint of the hub that lies in `folder`, and what it loads."""
    model = preset(name, name_or_path=str(folder), **SMALL)
    return model, model.load()


def write_configs(folder: Path, **contents: Mapping[str, Any]) -> None:
    """The files of a checkpoint on the hub that lie beside its weights, by name."""
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def check_answer(recording: Recording, name: str, call: Call) -> None:
    """Logits of every step and tokens are the recorded ones."""
    case, theirs = recording.about["cases"][name], recording.tensors[f"logits.{name}"]
    ours = torch.stack(call.logits)
    worst = [float((one - other).abs().max()) for one, other in zip(ours, theirs, strict=False)]
    assert max(worst) <= LOGITS, f"{name}: {worst}"
    assert ours.shape == theirs.shape, name
    assert call.tokens == case["tokens"], name


def greedy(model: Any, loaded: Any, generating: Any, prompt: Prompt, **instead: Any) -> tuple[Call, Any]:
    """One answer of the model, its call of `generate` and the response; `instead` as in `spied`."""
    with spied(generating, **instead) as calls:
        (response,) = model.run(loaded, model.inputs(loaded, [prompt]), 0)
    (call,) = calls
    return call, response


def without(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Settings but those."""
    return {key: value for key, value in settings.items() if key not in names}


def cases(recording: Recording) -> Iterator[tuple[str, dict[str, Any]]]:
    """The recorded cases by name."""
    yield from recording.about["cases"].items()
