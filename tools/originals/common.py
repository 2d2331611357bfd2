"""What every recording shares: pictures and weights made from seeds, the questions, what reaches `generate`, the files.

Runs under old transformers (where the authors' code runs) and under the project's own (where the tests replay it), so
both sides draw the same pictures, make the same weights and read the sampler's settings in the same way.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CHECKOUTS = Path(__file__).parent / "checkouts"
RECORDINGS = Path(__file__).parent.parent.parent / "tests" / "originals"
STEPS = 8  # tokens of a recorded answer
SEED = 20261126
QUESTIONS = (
    "What is this?",
    "The image shows a phrase of an activity. List the steps in detail, one by one.",
    "  Two  blanks, é 漢 🙂\nand a second line ### {x}",
)

# ---- pictures ------------------------------------------------------------------------------------------------------


def coloured(width: int, height: int, seed: int) -> Image.Image:
    """An RGB picture of smooth colours (0 to 240), a hard edge (50) and noise, from whole-number arithmetic only."""
    noise = np.random.RandomState(seed).randint(0, 40, (height, width, 3), np.uint8)
    x, y = np.arange(width)[None, :, None] * 160 // width, np.arange(height)[:, None, None] * 80 // height
    smooth = (x * np.array([1, 0, 1]))[0].astype(np.uint8) + (y * np.array([0, 1, 0])).astype(np.uint8)
    noise += smooth
    noise[height // 3 :, width // 3 :] += 50
    return Image.fromarray(noise)


def typed(lines: int) -> Image.Image:
    """As SD+TYPO: 1,024 x 1,024 pixels above a white strip of `lines` lines of 90 pixels and one more, black marks."""
    strip = np.full((90 * (lines + 1), 1024, 3), 255, np.uint8)
    marks = np.random.RandomState(lines).randint(0, 2, (lines, 30)).repeat(30, axis=1)
    for line in range(lines):
        strip[45 + 90 * line : 105 + 90 * line, :900][:, marks[line] == 1] = 0
    return Image.fromarray(np.concatenate([np.asarray(coloured(1024, 1024, lines)), strip]))


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "square": lambda: coloured(336, 336, 11),
    "wide": lambda: coloured(640, 211, 12),
    "tall": lambda: coloured(150, 487, 13),
    "typed1": lambda: typed(1),
    "typed2": lambda: typed(2),
    "typed3": lambda: typed(3),
    "typed4": lambda: typed(4),
    "grey": lambda: coloured(300, 200, 14).convert("L"),  # one channel
    "tiny": lambda: coloured(9, 5, 15),
    "huge": lambda: coloured(1900, 1300, 16),
}


@cache
def picture(name: str) -> Image.Image:
    """One of the pictures, mode RGB, as every system's code is handed it."""
    return PICTURES[name]().convert("RGB")


def picture_digest(picture: Image.Image) -> str:
    """SHA-256 of mode, size and pixels: both sides draw the very same."""
    return hashlib.sha256(f"{picture.mode} {picture.size} ".encode() + picture.tobytes()).hexdigest()


# ---- weights -------------------------------------------------------------------------------------------------------


def weight(key: str, shape: tuple[int, ...], scale: float = 0.25) -> Any:
    """The float32 weight that belongs to a published key, the same on every machine: norms around one, else zero."""
    import torch

    values = np.random.RandomState((SEED + zlib.crc32(key.encode())) % 2**32).standard_normal(shape) * scale
    norm = key.endswith("weight") and len(shape) == 1
    return torch.from_numpy(np.asarray(values + norm, dtype=np.float32))


def fill(state: Mapping[str, Any], scale: float = 0.25) -> dict[str, tuple[int, ...]]:
    """Give every floating-point entry of a model's state dict its `weight`; returns the shape of every entry."""
    import torch

    for key, tensor in state.items():
        if tensor.is_floating_point() and not key.endswith("inv_freq"):
            with torch.no_grad():
                tensor.copy_(weight(key, tuple(tensor.shape), scale))
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


# ---- what reaches `generate` ---------------------------------------------------------------------------------------


@dataclass
class Call:
    """One call of `generate`.

    Attributes:
        settings: the decoding settings in force, defaults and all.
        logits: [steps, vocabulary] float32, of the last place at each step before anything changes them.
        tokens: the new tokens.
        passes: how many places each forward pass computed (1 after the first where a cache is used).
    """

    settings: dict[str, Any] = field(default_factory=dict)
    logits: list[Any] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)


# ---- files ---------------------------------------------------------------------------------------------------------


def levels(values: Any, mean: Any, std: Any) -> Any:
    """Normalised pixels [3, height, width] as the bytes they were made of; anything else is an error."""
    import torch

    mean, std = (torch.tensor(part, dtype=torch.float64)[:, None, None] for part in (mean, std))
    whole = ((values.double() * std + mean) * 255).round()
    assert ((whole / 255 - mean) / std - values.double()).abs().max() < 1e-6
    return whole.to(torch.uint8)


def bytes_digest(values: Any) -> str:
    """SHA-256 of a tensor of bytes."""
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()


@dataclass
class Recording:
    """What the authors' code did; `NAME.json` and `NAME.safetensors` in tests/originals.

    Attributes:
        about: repository, commit, environment, sizes, weights (key and shape of every published file), cases, ...
        tensors: `logits.CASE` [steps, vocabulary], `pixels.PICTURE` [3, height, width] bytes.
    """

    name: str
    about: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)

    def pixels(self, name: str, small: Any, full: Any, mean: Any, std: Any) -> None:
        """Keep a picture's normalised pixels [3, height, width]: the small ones as bytes, a digest of the full ones.

        Args:
            name: the picture.
            small: as the small model sees it; the values are (byte / 255 - mean) / std.
            full: as the published model sees it.
            mean: of each colour.
            std: of each colour.
        """
        self.about |= {"mean": list(mean), "std": list(std)}
        self.about.setdefault("pictures", {})[name] = picture_digest(picture(name))
        self.about.setdefault("full", {"side": full.shape[-1]})[name] = bytes_digest(levels(full, mean, std))
        self.tensors[f"pixels.{name}"] = levels(small, mean, std)

    def normalised(self, name: str) -> Any:
        """A picture's pixels [3, height, width] as the authors' code made them, float64."""
        import torch

        mean, std = (torch.tensor(self.about[key], dtype=torch.float64)[:, None, None] for key in ("mean", "std"))
        return (self.tensors[f"pixels.{name}"].double() / 255 - mean) / std

    def case(self, name: str, call: Call, **what: Any) -> None:
        """Keep one answer: what was asked (`question`, `picture`, `prompt`, `ids`, ...), tokens and logits."""
        import torch

        self.about.setdefault("cases", {})[name] = {**what, "tokens": call.tokens, "passes": call.passes}
        self.tensors[f"logits.{name}"] = torch.stack(call.logits)

    def save(self) -> None:
        """Write both files, with the versions they were made with."""
        import torch
        import transformers
        from safetensors.torch import save_file

        self.about["environment"] = {"torch": torch.__version__, "transformers": transformers.__version__}
        RECORDINGS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.about, indent=1, ensure_ascii=False)
        (RECORDINGS / f"{self.name}.json").write_text(compact(text) + "\n", encoding="utf-8")
        save_file({key: self.tensors[key].contiguous() for key in sorted(self.tensors)}, self._weights())

    @classmethod
    def load(cls, name: str) -> Recording:
        """Read both files."""
        from safetensors.torch import load_file

        recording = cls(name, json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8")))
        recording.tensors = load_file(recording._weights())
        return recording

    def _weights(self) -> Path:
        return RECORDINGS / f"{self.name}.safetensors"


def compact(text: str) -> str:
    """JSON with each list of numbers on one line."""
    import re

    return re.sub(r"\[[\s\d.,e+-]*\]", lambda match: " ".join(match[0].split()), text)


def commit(checkout: str) -> str:
    """The commit that a checkout was exported from, from the file COMMIT beside its sources."""
    return (CHECKOUTS / checkout / "COMMIT").read_text(encoding="utf-8").strip()


def stub_torchvision() -> None:
    """Let a CUDA build of torchvision be imported beside a CPU build of torch: its compiled operators are not used."""
    import torch

    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    stub_torchvision.library = library  # type: ignore[attr-defined]  # kept alive
