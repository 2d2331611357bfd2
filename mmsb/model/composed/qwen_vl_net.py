"""The graph of Qwen-VL: a ViT without class token, a resampler of one cross-attention, and transformers' Qwen2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from mmsb.model.composed.minigpt_net import language_model

EPS = 1e-6


class Block(nn.Module):
    """A transformer block with norms before; query, key and value of each head side by side in one weight."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Norms, attention, MLP."""
        super().__init__()
        width, inner = sizes["hidden_size"], sizes["intermediate_size"]
        self.heads = sizes["num_attention_heads"]
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_proj = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width] -> the same shape."""
        # Heads outside, thirds inside: the other way round the shapes fit too, and the picture is noise.
        q, k, v = self.in_proj(self.norm1(states)).unflatten(-1, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        states = states + self.out_proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        passed: torch.Tensor = self.c_proj(gelu(self.c_fc(self.norm2(states))))
        return states + passed


class Tower(nn.Module):
    """The ViT; its positions are stretched to the number of patches."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Patches, positions, norm, blocks."""
        super().__init__()
        width, patch = sizes["hidden_size"], sizes["patch_size"]
        self.patches = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.positions = nn.Parameter(torch.zeros(sizes["num_positions"], width))
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.layers = nn.ModuleList(Block(sizes) for _ in range(sizes["num_hidden_layers"]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, patches, width]."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        states: torch.Tensor = self.norm(patches + stretched(self.positions, patches.shape[1]))
        for layer in self.layers:
            states = layer(states)
        return states


class Resampler(nn.Module):
    """Learned queries that attend to the patches, by content and place."""

    def __init__(self, sizes: Mapping[str, Any], hidden: int) -> None:
        """Queries with their places, projection, attention, norms."""
        super().__init__()
        queries = sizes["num_query_tokens"]
        self.query, self.pos_embed = (nn.Parameter(torch.zeros(queries, hidden)) for _ in range(2))
        self.kv_proj = nn.Linear(sizes["hidden_size"], hidden, bias=False)
        self.attn = nn.MultiheadAttention(hidden, sizes["resampler_heads"], batch_first=True)
        self.ln_q, self.ln_kv, self.ln_post = (nn.LayerNorm(hidden, eps=EPS) for _ in range(3))
        self.proj = nn.Parameter(torch.zeros(hidden, hidden))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """[n, patches, width] -> [n, queries, hidden]."""
        values = self.ln_kv(self.kv_proj(seen))
        keys = values + stretched(self.pos_embed, seen.shape[1])
        queries = (self.ln_q(self.query) + self.pos_embed).expand(len(seen), -1, -1)
        # Places are on queries and keys; the values are what was seen.
        attended, _ = self.attn(queries, keys, values, need_weights=False)
        normed: torch.Tensor = self.ln_post(attended)
        return normed @ self.proj


class QwenVLNet(nn.Module):
    """Qwen-VL."""

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts."""
        super().__init__()
        self.tower = Tower(parts["vision"])
        self.resampler = Resampler(parts["vision"], parts["text"]["hidden_size"])
        self.language_model = language_model(parts["text"])

    def vision(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, queries, hidden]."""
        read: torch.Tensor = self.resampler(self.tower(pixels))
        return read


def stretched(positions: torch.Tensor, length: int) -> torch.Tensor:
    """Embeddings of a square of places [m * m, width] for a square of `length` places, bicubic."""
    if len(positions) == length:
        return positions
    old, new = round(len(positions) ** 0.5), round(length**0.5)
    # In float32 and back: interpolated in half precision, the embedding would be another.
    square = positions.float().view(1, old, old, -1).permute(0, 3, 1, 2)
    wide = interpolate(square, size=(new, new), mode="bicubic", align_corners=False)
    return wide.permute(0, 2, 3, 1).flatten(0, 2).to(positions.dtype)
