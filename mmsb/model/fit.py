"""Image fit: how a picture of any shape becomes the square that a vision tower sees. It changes results.

A centre crop cuts the typed line off a tall picture; models that were trained on padded or squashed
pictures must be shown padded or squashed ones.
"""

from __future__ import annotations

from typing import Any, Literal

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
        if self.how == "pad" and image.width > image.height:
            # Pillow resizes rows first, then columns: rows that only pad need not be resized. The same pixels.
            narrow = image.resize((side, image.height), resample)
            image = pad(narrow, self.colour, (side, image.width))
        elif self.how == "pad":
            image = pad(image, self.colour, (image.height, image.height))
        return image.resize((side, side), resample)


def pad(image: Image.Image, colour: Colour, size: tuple[int, int]) -> Image.Image:
    """Expand to `size` by equal borders of `colour`."""
    canvas = Image.new("RGB", size, colour)
    # Rounded down, as LLaVA's own expand2square does.
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas


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


def image_side(image_processor: Any) -> int | None:
    """The side in pixels of the square that an image processor makes; None where it keeps each picture's own size."""
    for size in (getattr(image_processor, "crop_size", None), getattr(image_processor, "size", None)):
        for key in ("height", "shortest_edge"):
            # A shortest edge with a longest one keeps the picture's shape: there is no square to fit it to.
            if size and size.get(key) and not size.get("longest_edge"):
                return int(size[key])
    return None
