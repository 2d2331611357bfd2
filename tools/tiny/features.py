"""What the frozen vision tower sees in each picture, computed once, and which patches are worth showing."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmsb.font import dejavu
from mmsb.image_mode.typography import TypedText
from mmsb.picture import FilePicture, Picture, Stacked
from tools.tiny import page, vision
from tools.tiny.corpus import View
from tools.tiny.words import DATASETS

CHUNK = 32
ROOM = 12000  # pictures of new phrases kept; older ones make place


def picture(view: View) -> Picture:
    """The real picture of an embedded question, as the benchmark shows it."""
    assert view.source is not None
    dataset, scenario, key = view.source
    drawing = FilePicture(DATASETS / dataset / "imgs" / scenario / "SD" / f"{key}.jpg")
    if view.kind == "sd":
        return drawing
    typed = TypedText(view.phrase, dejavu())
    return typed if view.kind == "typo" else Stacked(drawing, typed)


def fitted(image: Image.Image) -> np.ndarray:
    """Pad white to a square and resize, as the processor does: (SIDE, SIDE, 3) uint8."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square.resize((page.SIDE, page.SIDE), Image.Resampling.BICUBIC))


def drawn(view: View) -> np.ndarray:
    """A view's pixels: the real picture, or a quick drawing for a new phrase."""
    if view.source:
        return fitted(picture(view).load())
    layout = page.typed(view.phrase) if view.kind == "typo" else page.stacked(view.phrase)
    return page.draw(layout, random.Random(view.phrase))


def text_patches(view: View, pixels: np.ndarray) -> np.ndarray:
    """The patches with ink of typed text: (GRID * GRID,) bool; none in a drawing alone."""
    dark: np.ndarray = pixels.min(-1).reshape(page.GRID, page.PATCH, page.GRID, page.PATCH).min((1, 3)) < 200
    if view.kind == "sd_typo":
        layout = page.stacked(view.phrase)
        dark[: int(page.WIDTH / layout.side * page.GRID + 0.5)] = False
    return dark.flatten() if view.kind != "sd" else np.zeros(page.GRID**2, dtype=bool)


class Features:
    """The tower's last hidden states by view, (patches, width) half precision, and the text patches."""

    def __init__(self, tower: Any) -> None:
        """Keep `tower` as it is."""
        self.tower = tower.eval()
        self.seen: dict[View, tuple[torch.Tensor, np.ndarray]] = {}

    @torch.no_grad()
    def prepare(self, views: list[View]) -> None:
        """Look at those views that are new."""
        new = [view for view in dict.fromkeys(views) if view not in self.seen]
        for start in range(0, len(new), CHUNK):
            part = new[start : start + CHUNK]
            pages = [drawn(view) for view in part]
            hidden = self.tower(vision.pixels(pages), output_hidden_states=True).hidden_states[-1][:, 1:].half()
            for view, states, pixels in zip(part, hidden, pages, strict=True):
                self.seen[view] = states.clone(), text_patches(view, pixels)
        for view in [view for view in self.seen if view.source is None][: max(0, len(self.seen) - ROOM)]:
            del self.seen[view]
