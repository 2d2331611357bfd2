"""The graph of LLaMA-Adapter V2: CLIP, a small transformer that reads the image, LLaMA with a second attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from mmsb.model.composed.attention import by_head, with_blanks
from mmsb.model.composed.batch import Inputs

NAME = "llama_adapter"  # among transformers' attention implementations


class Tuned(nn.Linear):
    """A linear layer with LoRA beside it; without LoRA where the rank is 0."""

    def __init__(self, inside: int, outside: int, bias: bool, rank: int) -> None:
        """Weight, bias and LoRA's two weights."""
        super().__init__(inside, outside, bias=bias)
        self.rank = rank
        if rank:
            self.lora_down = nn.Parameter(torch.zeros(rank, inside))
            self.lora_up = nn.Parameter(torch.zeros(outside, rank))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., inside] -> [..., outside]."""
        passed = super().forward(states)
        return passed + linear(linear(states, self.lora_down), self.lora_up) if self.rank else passed


class Block(nn.Module):
    """A transformer block with norms before attention and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        """Norms, attention, MLP of four times the width."""
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[n, tokens, width] -> the same shape."""
        q, k, v = self.qkv(self.norm1(states)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        states = states + self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        passed: torch.Tensor = self.fc2(gelu(self.fc1(self.norm2(states))))
        return states + passed


class Reader(nn.Module):
    """Ten queries that pass a transformer together with CLIP's tokens."""

    def __init__(self, sizes: Mapping[str, Any], seen: int, hidden: int) -> None:
        """Blocks, queries, projections with norms on both sides."""
        super().__init__()
        width = sizes["hidden_size"]
        self.project_in, self.norm_in = nn.Linear(seen, width), nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.zeros(sizes["num_query_tokens"], width))
        blocks = range(sizes["num_hidden_layers"])
        self.blocks = nn.ModuleList(Block(width, sizes["num_attention_heads"]) for _ in blocks)
        self.project_out, self.norm_out = nn.Linear(width, hidden), nn.LayerNorm(hidden)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """[n, tokens, seen] -> [n, queries, hidden]."""
        queries = self.queries.expand(len(seen), -1, -1)
        states = torch.cat([queries, self.norm_in(self.project_in(seen))], dim=1)
        for block in self.blocks:
            states = block(states)
        read: torch.Tensor = self.norm_out(self.project_out(states[:, : queries.shape[1]]))
        return read


class LlamaAdapterNet(nn.Module):
    """LLaMA-Adapter V2. Layers before the adapted ones keep a gate of their own that nothing uses, as published."""

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts; LLaMA's linear layers get the biases and LoRA weights that were tuned."""
        super().__init__()
        sizes = dict(parts["text"])
        self.adapted, self.rank = sizes.pop("adapted_layers"), sizes.pop("lora_rank")
        self.side = parts["vision"]["image_size"]
        self.clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**parts["vision"]))
        self.reader = Reader(parts["reader"], parts["vision"]["projection_dim"], sizes["hidden_size"])
        length = parts["reader"]["num_query_tokens"]
        self.prompts = nn.Parameter(torch.zeros(self.adapted * length, sizes["hidden_size"]))
        # Through transformers' own registry: caches, masks and rotation stay its code, and only the addition is ours.
        AttentionInterface.register(NAME, attend)
        # By the same name, or transformers makes no mask for an attention it does not know, and padding is attended to.
        AttentionMaskInterface.register(NAME, sdpa_mask)
        sizes.pop("model_type")
        self.language_model = LlamaForCausalLM._from_config(LlamaConfig(**sizes), attn_implementation=NAME)
        for layer in self.language_model.model.layers:
            self._tune(layer)

    def vision(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, queries, hidden]; all of CLIP's tokens are projected, not the class token alone."""
        tower = self.clip.vision_model
        seen = tower.post_layernorm(tower(pixels).last_hidden_state)
        read: torch.Tensor = self.reader(self.clip.visual_projection(seen))
        return read

    @contextmanager
    def shown(self, inputs: Inputs) -> Iterator[dict[str, Any]]:
        """For one call of `generate`: the adapted layers attend to their prompts plus the row's (or a zero) image."""
        images = with_blanks(self, inputs, self.side)
        layers = self.language_model.model.layers[-self.adapted :]
        for layer, prompt in zip(layers, self.prompts.chunk(self.adapted), strict=True):
            # With the plain weights, not through the layer: the authors' prompts pass no LoRA.
            attention, states = layer.self_attn, prompt + images
            attention.prompt_keys = by_head(linear(states, attention.k_proj.weight), attention.head_dim)
            attention.prompt_values = by_head(linear(states, attention.v_proj.weight), attention.head_dim)
        try:
            yield {}
        finally:
            for layer in layers:
                # Left there, the next batch would be answered with these pictures.
                del layer.self_attn.prompt_keys, layer.self_attn.prompt_values

    def _tune(self, layer: Any) -> None:
        heads = self.language_model.config.num_attention_heads
        layer.self_attn.gate = nn.Parameter(torch.zeros(1, heads, 1, 1))
        if self.rank:
            layer.self_attn.new_gate = nn.Parameter(torch.ones(1, 1, 1, 1))
        for module, names in ((layer.self_attn, "qkvo"), (layer.mlp, ("gate", "up", "down"))):
            for name in (f"{name}_proj" for name in names):
                plain = getattr(module, name)
                # The published file has biases for the others only.
                biased = name not in ("k_proj", "v_proj")
                setattr(module, name, Tuned(plain.in_features, plain.out_features, biased, self.rank))


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **further: Any
) -> tuple[torch.Tensor, None]:
    """LLaMA's attention; in an adapted layer plus a gated attention of the same (rotated) queries to its prompts."""
    attended, _ = sdpa_attention_forward(module, query, key, value, mask, **further)
    if hasattr(module, "prompt_keys"):
        # Without a mask: every token, padding too, may look at the prompts, which are the row's own.
        added = scaled_dot_product_attention(query, module.prompt_keys, module.prompt_values)
        gate = module.gate.tanh() * getattr(module, "new_gate", 1)
        attended = attended + (gate * added).transpose(1, 2)
    return attended, None
