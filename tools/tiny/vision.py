"""Stage 1: the vision tower learns to read. Each patch says which characters it holds, on dense and on real pages."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tools.tiny import architecture, page, words


def pixels(pages: list[np.ndarray]) -> torch.Tensor:
    """Pages (SIDE, SIDE, 3) uint8 -> (batch, 3, SIDE, SIDE) float32, normalised as the processor does it."""
    batch = torch.from_numpy(np.stack(pages)).permute(0, 3, 1, 2).float()
    return (batch / 255 - architecture.MEAN) / architecture.STD


def layout(rng: random.Random) -> page.Layout:
    """A page to learn from: four in ten dense, the others as the benchmark shows them."""
    kind = rng.random()
    if kind < 0.4:
        return page.dense([words.word(rng) for _ in range(50)], rng)
    return page.typed(words.phrase(rng)) if kind < 0.65 else page.stacked(words.phrase(rng))


class Reader(torch.nn.Module):
    """The tower with a head that names each patch's characters."""

    def __init__(self) -> None:
        """Random weights; seed torch before."""
        from transformers import CLIPVisionModel

        super().__init__()
        self.tower: Any = CLIPVisionModel(architecture.vision_config())
        self.norm = torch.nn.LayerNorm(architecture.VISION["hidden_size"])
        self.head = torch.nn.Linear(architecture.VISION["hidden_size"], page.SLOTS * (page.EMPTY + 1))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Pixels -> (batch, patches, SLOTS, characters + 1) logits."""
        hidden = self.tower(batch, output_hidden_states=True).hidden_states[-1][:, 1:]
        logits: torch.Tensor = self.head(self.norm(hidden))
        return logits.reshape(*logits.shape[:-1], page.SLOTS, page.EMPTY + 1)


def reading_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over characters and over empty slots, each its own mean: most slots are empty."""
    loss = F.cross_entropy(logits.flatten(0, 2), target.flatten(), reduction="none")
    ink = target.flatten() != page.EMPTY
    return loss[ink].mean() + 0.5 * loss[~ink].mean()


def pretrain(steps: int = 1500, batch: int = 24, rate: float = 1.5e-3, seed: int = 0) -> Reader:
    """Train the reader; prints loss and the share of characters read in place."""
    torch.manual_seed(seed)
    rng, reader = random.Random(seed), Reader()
    optimiser = torch.optim.AdamW(reader.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        layouts = [layout(rng) for _ in range(batch)]
        target = torch.from_numpy(np.stack([page.labels(one) for one in layouts])).long()
        logits = reader(pixels([page.draw(one, rng) for one in layouts]))
        loss = reading_loss(logits, target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 25 == 0 or step == steps - 1:
            ink = target != page.EMPTY
            right = (logits.argmax(-1) == target)[ink].float().mean()
            print(f"reading {step} loss {loss.item():.3f} characters {right.item():.3f}", flush=True)
    return reader
