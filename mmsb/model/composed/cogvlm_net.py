"""The graph of CogVLM: EVA2-CLIP-E, a gated adapter, and transformers' LLaMA with a twin of each linear layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

from mmsb.model.composed.attention import by_head
from mmsb.model.composed.batch import Inputs
from mmsb.model.composed.minigpt_net import language_model


class Block(nn.Module):
    """A transformer block whose norms stand after attention and MLP."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Attention, MLP, norms."""
        super().__init__()
        width, inner, eps = sizes["hidden_size"], sizes["intermediate_size"], sizes["layer_norm_eps"]
        self.size = width // sizes["num_attention_heads"]
        self.query_key_value, self.dense = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width] -> the same shape."""
        q, k, v = (by_head(part, self.size) for part in self.query_key_value(states).chunk(3, dim=-1))
        attended = self.dense(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        # The norm is on what is added, not on what goes in: EVA2-CLIP-E is trained so.
        states = states + self.norm1(attended)
        passed: torch.Tensor = self.norm2(self.fc2(gelu(self.fc1(states))))
        return states + passed


class Tower(nn.Module):
    """EVA2-CLIP-E without a last norm."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Patches, positions, blocks."""
        super().__init__()
        width, patch = sizes["hidden_size"], sizes["patch_size"]
        self.patches = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.class_embedding = nn.Parameter(torch.zeros(1, width))
        self.positions = nn.Parameter(torch.zeros((sizes["image_size"] // patch) ** 2 + 1, width))
        self.layers = nn.ModuleList(Block(sizes) for _ in range(sizes["num_hidden_layers"]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, patches, width]; the class token is left out."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        states = torch.cat([self.class_embedding.expand(len(pixels), 1, -1), patches], dim=1) + self.positions
        for layer in self.layers:
            states = layer(states)
        return states[:, 1:]


class Adapter(nn.Module):
    """A projection with norm and GELU, then a gated MLP."""

    def __init__(self, seen: int, hidden: int, inner: int) -> None:
        """Linear layers without biases."""
        super().__init__()
        self.project, self.norm = nn.Linear(seen, hidden, bias=False), nn.LayerNorm(hidden)
        self.gate, self.up = nn.Linear(hidden, inner, bias=False), nn.Linear(hidden, inner, bias=False)
        self.down = nn.Linear(inner, hidden, bias=False)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """[n, patches, seen] -> [n, patches, hidden]."""
        states = gelu(self.norm(self.project(seen)))
        adapted: torch.Tensor = self.down(silu(self.gate(states)) * self.up(states))
        return adapted


class Routed(nn.Module):
    """A linear layer for text beside its twin for image tokens."""

    def __init__(self, inside: int, outside: int) -> None:
        """Both layers; every token is text until `visual` says otherwise."""
        super().__init__()
        self.language, self.vision = (nn.Linear(inside, outside, bias=False) for _ in range(2))
        self.visual: torch.Tensor | None = None

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[n, length, inside] -> [n, length, outside]; one token at a time is one that the model wrote: text."""
        if self.visual is None or states.shape[1] == 1:
            return torch.as_tensor(self.language(states))
        passed = states.new_empty(*states.shape[:2], self.language.out_features)
        passed[self.visual] = self.vision(states[self.visual])
        passed[~self.visual] = self.language(states[~self.visual])
        return passed


class CogVLMNet(nn.Module):
    """CogVLM."""

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts and put the twin layers in."""
        super().__init__()
        hidden = parts["text"]["hidden_size"]
        self.tower = Tower(parts["vision"])
        self.adapter = Adapter(parts["vision"]["hidden_size"], hidden, parts["text"]["intermediate_size"])
        self.boi, self.eoi = (nn.Parameter(torch.zeros(1, 1, hidden)) for _ in range(2))
        self.language_model = language_model(parts["text"])
        for layer in self.language_model.model.layers:
            for module in (layer.self_attn, layer.mlp):
                for name, plain in list(module.named_children()):
                    if isinstance(plain, nn.Linear):
                        setattr(module, name, Routed(plain.in_features, plain.out_features))

    def vision(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, patches + 2, hidden], between the tokens that begin and end an image."""
        seen = self.adapter(self.tower(pixels))
        ends = (end.expand(len(seen), -1, -1) for end in (self.boi, self.eoi))
        return torch.cat([next(ends), seen, next(ends)], dim=1)

    @contextmanager
    def routed(self, inputs: Inputs) -> Iterator[dict[str, Any]]:
        """For one call of `generate`: which of the prompt's tokens take the image's layers, and every position."""
        image = inputs.visual
        layers = [module for module in self.language_model.modules() if isinstance(module, Routed)]
        for layer in layers:
            # An image token whose follower is text goes through the language's layers: the authors' mask asks both.
            layer.visual = image & image.roll(-1, dims=1)
        try:
            # Given once: `generate` goes on counting from the last one, so the answer's positions follow.
            yield {"position_ids": positions(image, inputs.mask)}
        finally:
            for layer in layers:
                layer.visual = None


def positions(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Position of every token [n, length]: one more than the token before, but one for all patches of an image.

    Args:
        image: [n, length], True for an image's tokens, its beginning and end included.
        mask: [n, length], 0 for padding.
    """
    # Without the tokens that begin and end an image, which have positions of their own.
    inner = image & image.roll(1, dims=1) & image.roll(-1, dims=1)
    further = inner & inner.roll(1, dims=1)  # every patch but the first
    # Padding would be -1, which no table of positions has.
    return ((mask.bool() & ~further).long().cumsum(dim=1) - 1).clamp(min=0)
