"""What a composed model hands from step to step: the loaded graph, an encoded batch, a batch as embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Loaded:
    """A composed graph with its tokenizer and the sizes of its parts, on its device."""

    net: Any
    tokenizer: Any
    parts: Mapping[str, Any]


@dataclass(frozen=True)
class Encoded:
    """A batch as token ids and pixels.

    Attributes:
        segments: for each row, the token ids of its segments; the image stands between two.
        pixels: [n, 3, side, side] float32, of the rows with an image; None without any.
        rows: the row of each of the n images.
    """

    segments: Sequence[Sequence[Sequence[int]]]
    pixels: Any
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Inputs:
    """A batch as the language model takes it, padded on the left.

    Attributes:
        embeds: [batch, length, hidden].
        mask: [batch, length], 1 where not padding.
        ids: [batch, length] token ids, -1 where padding or an image's embedding stands.
        visual: [batch, length], True where an image's embedding stands.
        images: [n, tokens, hidden], what `vision` gave for the rows with an image; None without any.
        rows: the row of each of the n images.
    """

    embeds: Any
    mask: Any
    ids: Any
    # Apart from `ids`: models that route or place by image must tell its positions from padding, and both are -1 there.
    visual: Any
    images: Any
    rows: tuple[int, ...]
