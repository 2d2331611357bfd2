"""Recordings of the authors' own code, replayed through a preset: converted, loaded strictly, asked the same."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mmsb.convert.conversion import Conversion
from mmsb.types import Prompt, Response
from tests.composed_models import preset
from tools.originals.common import SEED, Call, Recording, picture, picture_digest, weight
from tools.originals.spying import spied
from tools.originals.tokens import TOKENS

FP32: dict[str, Any] = {"dtype": "float32", "device": "cpu", "threads": 1, "card": None}


@dataclass(frozen=True)
class Drawn:
    """One of the recorded pictures, as a dataset would hand it over."""

    name: str

    @property
    def identity(self) -> str:
        return picture_digest(picture(self.name))

    def encoded(self) -> tuple[bytes, str]:
        raise NotImplementedError("local models load")

    def load(self) -> Image.Image:
        return picture(self.name)


@dataclass(frozen=True)
class Replay:
    """A preset with the recorded weights, and the recording."""

    model: Any
    recording: Recording

    @cached_property
    def loaded(self) -> Any:
        return self.model.load()

    def prompt(self, case: str) -> Prompt:
        asked = self.recording.about["cases"][case]
        return Prompt(asked["question"], image=Drawn(asked["picture"]) if asked["picture"] else None)

    def answer(self, case: str, **instead: Any) -> tuple[Call, Response]:
        """Ask what was recorded, through the preset's own settings."""
        with spied(self.loaded.net.language_model, **instead) as calls:
            (response,) = self.model.run(self.loaded, self.model.inputs(self.loaded, [self.prompt(case)]), SEED)
        return calls[0], response


def converted(name: str, recorded_as: str, folder: Path, protocol: str = "authors") -> Replay:
    """The preset, its published files made of the recording's keys, converted as a user converts them."""
    recording = Recording.load(recorded_as)
    parts = recording.about["parts"]
    model = dataclasses.replace(preset(name), name_or_path=str(folder / name), parts=parts, protocol=protocol, **FP32)
    sources = folder / f"{name}-sources"
    for entry, shapes in recording.about["files"].items():
        write_published(model.source[entry], entry, shapes, recording, sources)
    Conversion(model=model, sources=sources).run()
    return Replay(model, recording)


def write_published(source: Any, entry: str, shapes: dict[str, list[int]], recording: Recording, root: Path) -> None:
    """One published file (or folder, with configuration and tokenizer) as it lies on disk."""
    kinds = recording.about.get("kinds", {})
    scale = recording.about.get("scale", 0.25)
    state = {key: stored(key, tuple(shape), kinds.get(key), scale) for key, shape in shapes.items()}
    for key, rows in recording.about.get("rows", {}).items():
        if key in state:
            for row, factor in rows.items():
                state[key][int(row)] *= factor
    place = root / source.path
    root.mkdir(exist_ok=True)
    if Path(source.path).suffix in (".pth", ".ckpt", ".bin"):
        torch.save(state if source.root is None else {source.root: state}, place)
        return
    place.mkdir()
    torch.save(state, place / "pytorch_model.bin")
    (place / "config.json").write_text(json.dumps(recording.about.get("configs", {}).get(entry, {})))
    for file in TOKENS.iterdir():
        (place / file.name).write_bytes(file.read_bytes())


def stored(key: str, shape: tuple[int, ...], kind: str | None, scale: float) -> torch.Tensor:
    """A published entry: its weight, or whole numbers where the file holds such."""
    return torch.zeros(shape, dtype=torch.long) if kind == "int64" else torch.as_tensor(weight(key, shape, scale))
