"""Text and image embeddings put into one sequence, rows padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from mmsb.model.composed.batch import Inputs


def assemble(net: Any, batch: Sequence[Sequence[Sequence[int]]], images: Any, rows: Sequence[int]) -> Inputs:
    """Embed each row's segments and put its image between them.

    Args:
        net: the graph; its language model's table embeds the tokens.
        batch: for each row, the token ids of its segments; the image stands between two.
        images: [n, tokens, hidden], or None.
        rows: the row of each image.
    """
    table = net.language_model.get_input_embeddings()
    image_of = dict(zip(rows, images, strict=True)) if images is not None else {}
    sequences = [_row(table, segments, image_of.get(row)) for row, segments in enumerate(batch)]
    length = max(len(ids) for _, ids in sequences)
    embeds = torch.stack([pad(embedded, (0, 0, length - len(ids), 0)) for embedded, ids in sequences])
    # On the left: the first new token must follow the prompt's last one in every row.
    ids = torch.stack([pad(ids, (length - len(ids), 0), value=PADDING) for _, ids in sequences])
    mask, visual = (ids != PADDING).long(), ids == VISUAL
    return Inputs(embeds, mask, ids.masked_fill(ids < 0, -1), visual, images, tuple(rows))


# Negative, so that no token's id can be taken for them.
PADDING, VISUAL = -2, -1


def _row(table: Any, segments: Sequence[Sequence[int]], image: Any) -> tuple[Any, Any]:
    """One row's embeddings [length, hidden] and ids [length]; the image stands in each gap between segments."""
    device = table.weight.device
    embedded, ids = [], []
    for index, segment in enumerate(segments):
        if index:
            embedded.append(image)
            ids.append(torch.full((len(image),), VISUAL, device=device))
        tokens = torch.tensor(segment, dtype=torch.long, device=device)
        embedded.append(table(tokens))
        ids.append(tokens)
    return torch.cat(embedded), torch.cat(ids)
