"""Pictures held against what they should show: typed text against its phrase drawn anew, a picture against another.

Measured on 250 of the benchmark's key phrases, drawn by lot: a JPEG of typed text is at most 0.013 from the same phrase
in the same font, a phrase with one letter changed 0.10 or more; Arial is 0.16 to 0.31 from Liberation Sans, any other
phrase 0.64 or more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from mmsb.picture import decode, jpeg

SAME, ALIKE = 0.05, 0.42  # distances of typed text: the same font; the same phrase in another font of the same widths
SAME_PICTURE = 10.0  # distance of two pictures, of 255: saved once more below 3, written upon 40, moved by 8 pixels 27
NEAR_BLANK, BLACK, BLURRED = 3.0, 6.0, 5.0  # of 255: spread; mean; spread of the second derivative

Array = np.ndarray[Any, np.dtype[np.float32]]


def typing_distance(shown: Image.Image, expected: Image.Image, size: int) -> float:
    """How far the ink of two drawings is apart, where it is farthest, in windows of about a letter.

    Args:
        shown: the picture.
        expected: the phrase drawn anew; a picture of another size but of the same shape is brought to its size.
        size: of the letters, in pixels.

    Returns:
        0 for the same ink, 1 for ink where there should be none; infinity for another shape (another number of lines).
    """
    # Another number of lines is another phrase; two in a hundred is what rounding does to a shape.
    if abs(shown.width * expected.height - shown.height * expected.width) > 0.02 * shown.width * expected.height:
        return float("inf")
    cells = (
        max(1, round(expected.width * 9 / size)),
        max(1, round(expected.height * 9 / size)),
    )  # nine a letter's height
    one, other = _ink(shown, cells), _ink(expected, cells)
    apart, both = _windows(np.abs(one - other)), _windows(np.maximum(one, other))
    # The worst window, not the mean: one changed letter of forty would be lost in it. 4 keeps specks in white small.
    return float((apart / (both + 4)).max())


def saved(image: Image.Image, times: int) -> Image.Image:
    """The picture as it reads back after it was saved as JPEG that often."""
    for _ in range(times):
        image = decode(jpeg(image), "typed text")
    return image


def _ink(image: Image.Image, cells: tuple[int, int]) -> Array:
    # BOX averages: JPEG's marks around letters, which are no wider than a pixel or two, cancel out within a cell.
    small = image.convert("L").resize(cells, Image.Resampling.BOX)
    return np.asarray((255 - np.asarray(small, dtype=np.float32)) / 255, dtype=np.float32)


def _windows(cells: Array, width: int = 6, height: int = 9) -> Array:
    """The sum in each window."""
    height, width = min(height, cells.shape[0]), min(width, cells.shape[1])
    # By a summed table: four look-ups a window, whatever its size, for thousands of windows a picture.
    total = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    windows = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    return np.asarray(windows, dtype=np.float32)


def picture_distance(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures are apart, of 255, where they are farthest: in a sixteenth of each side.

    A line of text written upon a picture would be lost in the mean of all.
    """
    # Coarse on purpose: it tells another picture from the same one, not how well it was saved.
    small = [np.asarray(image.resize((64, 64), Image.Resampling.BOX), dtype=np.float32) for image in (one, other)]
    return float(_windows(np.abs(small[0] - small[1]).mean(axis=2), 4, 4).max() / 16)


def reduced(image: Image.Image) -> Image.Image:
    """The picture at a fraction of its size, no side below 256 pixels: all that its looks are judged by."""
    # Whole factors, as `reduce` takes them, cost less than `resize`; noise of single pixels is gone.
    return image.reduce(max(1, min(image.size) // 256))


def appearance(image: Image.Image) -> str | None:
    """What is wrong with a picture at first sight, in words for a report: black, of one colour, or blurred."""
    side = min(256, image.width), min(256, image.height)
    grey = np.asarray(image.convert("L").resize(side, Image.Resampling.BOX), dtype=np.float32)
    # Black by name: that is what a pipeline's safety checker leaves, and its remedy is another than for a flat picture.
    if grey.mean() < BLACK and grey.std() < BLACK:
        return "black pictures"
    # The colour that varies most: a picture may be flat in grey and still show something.
    if np.asarray(image.resize(side, Image.Resampling.BOX), dtype=np.float32).std((0, 1)).max() < NEAR_BLANK:
        return "pictures of one flat colour"
    if min(grey.shape) < 64:
        return None  # too small to tell
    inner = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    # The sharpest hundredth, not the mean: a sharp subject before a plain wall is no blur.
    return "blurred pictures" if np.percentile(np.abs(inner), 99) < BLURRED else None


def likeness(image: Image.Image) -> bytes:
    """A small print of a picture that survives JPEG: the signs of its slopes on a grid of 16 x 16."""
    grey = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.float32)
    # Above 2, not 0: in flat parts the sign of a slope is JPEG's noise, and two prints of one picture would differ.
    return np.packbits((grey[:, 1:] - grey[:, :-1]) > 2).tobytes()
