"""The graph of Otter: CLIP, a perceiver, and MPT with gated cross-attention before some of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import CLIPVisionConfig, CLIPVisionModel, MptConfig, MptForCausalLM

from mmsb.model.composed.attention import by_head
from mmsb.model.composed.batch import Inputs


def feed_forward(width: int) -> nn.Sequential:
    """Norm, four times the width, GELU, back; no biases."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )


class Attention(nn.Module):
    """Attention from one sequence to another, without biases."""

    def __init__(self, width: int, other: int, sizes: Mapping[str, Any]) -> None:
        """Projections from and to `width`; keys and values from `other`."""
        super().__init__()
        self.size = sizes["head_dim"]
        inner = sizes["num_attention_heads"] * self.size
        self.to_q, self.to_out = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)
        self.to_kv = nn.Linear(other, 2 * inner, bias=False)

    def attend(self, states: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        """[n, length, width], [n, tokens, other] -> [n, length, width]."""
        q, k, v = (by_head(part, self.size) for part in (self.to_q(states), *self.to_kv(read).chunk(2, dim=-1)))
        attended: torch.Tensor = self.to_out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return attended


class PerceiverLayer(Attention):
    """Latents read the image and themselves, then pass an MLP."""

    def __init__(self, width: int, sizes: Mapping[str, Any]) -> None:
        """Attention, norms, MLP."""
        super().__init__(width, width, sizes)
        self.norm_media, self.norm_latents, self.mlp = nn.LayerNorm(width), nn.LayerNorm(width), feed_forward(width)

    def forward(self, seen: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """[n, patches, width], [n, latents, width] -> [n, latents, width]."""
        normed = self.norm_latents(latents)
        latents = latents + self.attend(normed, torch.cat([self.norm_media(seen), normed], dim=1))
        passed: torch.Tensor = self.mlp(latents)
        return latents + passed


class Perceiver(nn.Module):
    """Learned latents that read the image."""

    def __init__(self, width: int, sizes: Mapping[str, Any]) -> None:
        """Latents, layers, last norm."""
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(sizes["num_latents"], width))
        self.layers = nn.ModuleList(PerceiverLayer(width, sizes) for _ in range(sizes["num_hidden_layers"]))
        self.norm = nn.LayerNorm(width)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """[n, patches, width] -> [n, latents, width]."""
        latents = self.latents.expand(len(seen), -1, -1)
        for layer in self.layers:
            latents = layer(seen, latents)
        normed: torch.Tensor = self.norm(latents)
        return normed


class Crossing(Attention):
    """Gated cross-attention from text to image, and a gated MLP; both start closed."""

    def __init__(self, width: int, seen: int, sizes: Mapping[str, Any]) -> None:
        """Attention, norm, MLP, gates."""
        super().__init__(width, seen, sizes)
        self.norm, self.mlp = nn.LayerNorm(width), feed_forward(width)
        self.attn_gate, self.ff_gate = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, states: torch.Tensor, seen: torch.Tensor, looking: torch.Tensor) -> torch.Tensor:
        """[n, length, width], [n, latents, seen], [n, length] -> [n, length, width]; only `looking` tokens attend."""
        attended = self.attend(self.norm(states), seen) * looking[..., None]
        states = states + attended * self.attn_gate.tanh()
        passed: torch.Tensor = self.mlp(states)
        return states + passed * self.ff_gate.tanh()


class OtterNet(nn.Module):
    """Otter. `crossing` is keyed by the layer that it precedes."""

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts and hook the cross-attention before its layers."""
        super().__init__()
        sizes = dict(parts["text"])
        every, self.media = sizes.pop("cross_attn_every_n_layers"), sizes.pop("media_token_id")
        width = parts["vision"]["hidden_size"]
        self.vision_model = CLIPVisionModel(CLIPVisionConfig(**parts["vision"]))
        self.perceiver = Perceiver(width, parts["perceiver"])
        self.language_model = MptForCausalLM(MptConfig(**sizes))
        self.crossing = nn.ModuleDict(
            {
                str(index): Crossing(sizes["d_model"], width, parts["perceiver"])
                for index in range(every - 1, sizes["n_layers"], every)
            }
        )

    def vision(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, latents, width]; CLIP's patches before its last norm, without the class token."""
        read: torch.Tensor = self.perceiver(self.vision_model(pixels).last_hidden_state[:, 1:])
        return read

    @contextmanager
    def shown(self, inputs: Inputs) -> Iterator[dict[str, Any]]:
        """For one call of `generate`: tokens from `<image>` on look at their row's image, generated ones too."""
        images = inputs.images
        # Tokens before the image, padding among them, look at nothing.
        prompt = (inputs.ids == self.media).cumsum(dim=1) == 1

        def before(layer: str) -> Any:
            def hook(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
                states, *others = args
                # `generate` repeats rows for beams, and the hook is the only place that sees how often.
                beams = len(states) // len(images)
                after = prompt if states.shape[1] > 1 else prompt[:, -1:]
                looking = after.repeat_interleave(beams, 0)
                return self.crossing[layer](states, images.repeat_interleave(beams, 0), looking), *others

            return hook

        blocks = self.language_model.transformer.blocks
        hooks = [blocks[int(layer)].register_forward_pre_hook(before(layer)) for layer in self.crossing]
        try:
            # For what counts over ids (no_repeat_ngram_size); -1 for padding would be no token.
            yield {"input_ids": inputs.ids.clamp(min=0)}
        finally:
            for hook in hooks:
                hook.remove()
