"""Image fit: how a picture of any shape becomes the square that a vision tower sees. It changes results.

A centre crop cuts the typed line off a tall picture; models that were trained on padded or squashed
pictures must be shown padded or squashed ones.
"""

from __future__ import annotations

from typing import Literal

from PIL import Image

from mmsb.config import settings

Colour = tuple[int, int, int]


@settings
class Fit:
    """How pictures are fitted.

    Attributes:
        how: "pad" to a square with `colour`, "squash" to a square, "crop" the centre square, or "native": leave it to
            the model's own image processor.
        colour: RGB of the padding.
        rounding: where a crop begins whose borders are no whole number of pixels: "down" as in transformers, or to the
            "even" pixel as in torchvision.
    """

    how: Literal["pad", "squash", "crop", "native"] = "native"
    colour: Colour = (0, 0, 0)
    rounding: Literal["down", "even"] = "down"

    def apply(
        self, image: Image.Image, side: int | None, resample: Image.Resampling = Image.Resampling.BICUBIC
    ) -> Image.Image:
        """Fit an RGB image: `side` x `side` pixels (None: as large as its larger side), unless "native"."""
        side = side or max(image.size)
        if self.how == "native":
            return image
        if self.how == "crop":
            return crop(image, side, resample, self.rounding)
        square = pad(image, self.colour) if self.how == "pad" else image
        return square.resize((side, side), resample)


def pad(image: Image.Image, colour: Colour) -> Image.Image:
    """Expand to a square by equal borders of `colour`."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    # Rounded down, as LLaVA's own expand2square does.
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def crop(
    image: Image.Image,
    side: int,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
    rounding: Literal["down", "even"] = "down",
) -> Image.Image:
    """Resize the shorter edge to `side` (the longer rounds down, as in CLIP), then cut the centre square out."""
    short = min(image.size)
    size = (side * image.width // short, side * image.height // short)
    resized = image.resize(size, resample)
    left, top = (_half(length - side, rounding) for length in size)
    return resized.crop((left, top, left + side, top + side))


def _half(length: int, rounding: Literal["down", "even"]) -> int:
    # Python rounds a half to the even number, as torchvision does. Floor there is one pixel off for 1,513 of 1,680
    # pictures.
    return length // 2 if rounding == "down" else round(length / 2)
