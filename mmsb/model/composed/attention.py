"""What the graphs of several models share: attention by heads, and images for rows that have none."""

from __future__ import annotations

from typing import Any

import torch

from mmsb.model.composed.batch import Inputs


def by_head(states: torch.Tensor, size: int) -> torch.Tensor:
    """[n, length, heads * size] -> [n, heads, length, size]."""
    return states.reshape(*states.shape[:-1], -1, size).transpose(1, 2)


def with_blanks(net: Any, inputs: Inputs, side: int) -> torch.Tensor:
    """What `vision` gives for every row [batch, tokens, hidden]: for rows without an image, that of a zero image."""
    weight = net.language_model.get_input_embeddings().weight
    rows = len(inputs.mask)
    if len(inputs.rows) == rows:
        return torch.as_tensor(inputs.images)
    # Encoded once and repeated: it is the same for every row.
    blank = net.vision(torch.zeros(1, 3, side, side, dtype=weight.dtype, device=weight.device))
    images: torch.Tensor = blank.repeat(rows, 1, 1)
    if inputs.rows:
        images[list(inputs.rows)] = inputs.images
    return images
