"""The graph of mPLUG-Owl: transformers' CLIP vision tower and LLaMA, with the abstractor between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, silu
from transformers import CLIPVisionConfig, CLIPVisionModel

from mmsb.model.composed.attention import by_head
from mmsb.model.composed.minigpt_net import language_model

INNER_EPS = 1e-6  # of the norm inside the MLP; the abstractor's other norms have torch's default


class AbstractorLayer(nn.Module):
    """Queries read themselves and the image, then pass a gated MLP with a norm inside."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Linear layers and norms."""
        super().__init__()
        width, inner = sizes["hidden_size"], sizes["intermediate_size"]
        self.size = width // sizes["num_attention_heads"]
        self.norm_query, self.norm_key, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.gate, self.up, self.down = nn.Linear(width, inner), nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm_inner = nn.LayerNorm(inner, eps=INNER_EPS)

    def forward(self, queries: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """[n, queries, width], [n, tokens, width] -> [n, queries, width]; the residual is the normalised query."""
        # The residual is taken after the norm, as their code has it; most transformers take it before.
        queries = self.norm_query(queries)
        read = torch.cat([queries, self.norm_key(seen)], dim=1)
        q, k, v = (by_head(part, self.size) for part in (self.query(queries), self.key(read), self.value(read)))
        attended = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        queries = queries + self.out(attended)
        normed = self.norm_mlp(queries)
        passed: torch.Tensor = self.down(self.norm_inner(silu(self.gate(normed)) * self.up(normed)))
        return queries + passed


class Abstractor(nn.Module):
    """Learned queries that read the image, projected to the language model's width, and one closing token."""

    def __init__(self, sizes: Mapping[str, Any], hidden: int) -> None:
        """Layers, queries, projection."""
        super().__init__()
        width = sizes["hidden_size"]
        self.queries = nn.Parameter(torch.zeros(1, sizes["num_query_tokens"], width))
        self.layers = nn.ModuleList(AbstractorLayer(sizes) for _ in range(sizes["num_hidden_layers"]))
        self.projection = nn.Linear(width, hidden)
        self.end = nn.Parameter(torch.zeros(1, 1, hidden))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width] -> [n, queries + 1, hidden]."""
        queries = self.queries.expand(len(seen), -1, -1)
        for layer in self.layers:
            queries = layer(queries, seen)
        return torch.cat([self.projection(queries), self.end.expand(len(seen), -1, -1)], dim=1)


class MplugOwlNet(nn.Module):
    """mPLUG-Owl."""

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts."""
        super().__init__()
        self.vision_model = CLIPVisionModel(CLIPVisionConfig(**parts["vision"]))
        self.abstractor = Abstractor(parts["abstractor"], parts["text"]["hidden_size"])
        self.language_model = language_model(parts["text"])

    def vision(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, queries + 1, hidden]; all tokens pass the last norm, not the class token alone."""
        seen = self.vision_model(pixels).last_hidden_state
        read: torch.Tensor = self.abstractor(self.vision_model.post_layernorm(seen))
        return read
