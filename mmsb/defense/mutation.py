"""Randomly changed pictures for JailGuard and for masking. Each change is drawn from the picture's own identity.

`policy` is JailGuard's default for pictures (github.com/shiningrain/JailGuard at 419e1d3d, utils/augmentations.py):
turned in 34 %, blurred in 45 %, posterized in 21 % of draws. Its parameters are theirs: a turn of up to a random
limit of 0.1 to 180 degrees, a blur of random radius, 1 or 2 bits a channel in half of the draws. Drawn here with
Pillow, there with torchvision.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from PIL import Image, ImageFilter, ImageOps

from mmsb.defense.image import DECODED, QUALITY
from mmsb.digest import digest
from mmsb.picture import Picture, decode

Mutator = Literal["policy", "rotate", "blur", "posterize", "mask"]
POLICY: tuple[tuple[Mutator, float], ...] = (("rotate", 0.34), ("blur", 0.45), ("posterize", 0.21))


def rotate(image: Image.Image, most: float, chance: random.Random) -> Image.Image:
    """Turned by up to a random share of `most` degrees, cut to the frame, on black."""
    # One way round only and cut to the frame, as there.
    return image.rotate(-chance.uniform(0, chance.uniform(0.1, most)))


def blur(image: Image.Image, most: float, chance: random.Random) -> Image.Image:
    """Gaussian blur with a random radius, 0.1 to `most` pixels."""
    return image.filter(ImageFilter.GaussianBlur(chance.uniform(0.1, most)))


def posterize(image: Image.Image, most: float, chance: random.Random) -> Image.Image:
    """In half of the draws, a random number of bits a channel from 1 to `most`."""
    bits = chance.randint(1, round(most))
    return ImageOps.posterize(image, bits) if chance.random() < 0.5 else image


def mask(image: Image.Image, share: float, chance: random.Random) -> Image.Image:
    """That share of the pixels black, at random."""
    size = image.width * image.height
    # Drawn at once: a call for each pixel would be a million calls for a picture of a megapixel.
    lit = Image.frombytes("L", image.size, chance.randbytes(size)).point([255 * (n >= 256 * share) for n in range(256)])
    return Image.composite(image, Image.new("RGB", image.size), lit)


MOST: dict[Mutator, float] = {"rotate": 180.0, "blur": 2.0, "posterize": 2.0}
MUTATORS: dict[Mutator, Callable[[Image.Image, float, random.Random], Image.Image]] = {
    "rotate": rotate,
    "blur": blur,
    "posterize": posterize,
    "mask": mask,
}


@dataclass(frozen=True)
class Mutated:
    """A picture after a random change.

    Attributes:
        picture: the picture itself.
        mutator: how it is changed.
        draw: tells apart several changes of one picture.
        strength: of "mask", the share of pixels; else each mutator's own.
    """

    picture: Picture
    mutator: Mutator
    draw: int
    strength: float | None = None

    @cached_property
    def identity(self) -> str:
        """Digest of the picture, the change and its draw."""
        return digest(["mutated", self.picture.identity, self.mutator, self.strength, self.draw])

    def encoded(self) -> tuple[bytes, str]:
        """The changed picture as JPEG."""
        buffer = io.BytesIO()
        self._changed().save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue(), "image/jpeg"

    def load(self) -> Image.Image:
        """The changed picture as it reads back from its JPEG."""
        return decode(self.encoded()[0], "a changed picture")

    def _changed(self) -> Image.Image:
        chance = random.Random(self.identity)  # the same change on every machine
        name = self.mutator
        if name == "policy":
            # From the generator that goes on to draw the change: one seed gives both.
            [name] = chance.choices([mutator for mutator, _ in POLICY], [share for _, share in POLICY])
        return MUTATORS[name](DECODED.of(self.picture), MOST.get(name, self.strength or 0.0), chance)
