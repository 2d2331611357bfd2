"""The graphs of the MiniGPT family, from transformers' BLIP-2 and LLaMA parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2VisionConfig,
    Blip2VisionModel,
    LogitsProcessor,
)

LN_VISION_EPS = 1e-5  # the tower's own norms have 1e-6


def vision_tower(sizes: Mapping[str, Any]) -> Any:
    """EVA-CLIP ViT-g/14 without its last layer, as BLIP-2 uses it."""
    tower = Blip2VisionModel(Blip2VisionConfig(**sizes))
    # Blip2VisionModel gives all its norms one epsilon; the authors' last norm is a module of its own, with torch's
    # default.
    tower.post_layernorm.eps = LN_VISION_EPS
    return tower


def language_model(sizes: Mapping[str, Any]) -> Any:
    """A causal language model from its configuration's arguments."""
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**sizes))


class Blip2Llama(Blip2ForConditionalGeneration):  # type: ignore[misc]
    """MiniGPT-4: BLIP-2 with LLaMA as its language model."""

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts; `parts["qformer"]` also holds `num_query_tokens`."""
        qformer = dict(parts["qformer"])
        queries = qformer.pop("num_query_tokens")
        text = AutoConfig.for_model(**parts["text"])
        super().__init__(
            Blip2Config(
                vision_config=dict(parts["vision"]),
                qformer_config=qformer,
                text_config=text,
                num_query_tokens=queries,
            )
        )
        # As in `vision_tower`.
        self.vision_model.post_layernorm.eps = LN_VISION_EPS

    def vision(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, queries, hidden]."""
        seen: torch.Tensor = self.get_image_features(pixels).pooler_output
        return seen


class Drawing(LogitsProcessor):  # type: ignore[misc]
    """Once the first token for drawing was chosen, the others follow; no penalty for repetition remembers those.

    The authors' code runs all of them through the model in one pass and keeps only the first.
    """

    def __init__(self, tokens: Sequence[int], penalty: float) -> None:
        """The ids in order, and the penalty that `generate` has put on repeated tokens."""
        self.tokens, self.penalty = tokens, penalty

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """[batch, length] ids so far, [batch, vocabulary] scores -> the scores, changed."""
        # A copy, as transformers' own processors make: `generate` may still hold the tensor.
        scores = scores.clone()
        runs = list(accumulate(self.tokens[1:], partial(_followed, input_ids), initial=input_ids == self.tokens[0]))
        for run, token in zip(runs[1:], self.tokens[1:], strict=True):
            chosen = (input_ids == token) & ~run
            # A token that was also written by choice keeps its penalty.
            unpunished = run.any(dim=1) & ~chosen.any(dim=1)
            score = scores[:, token]
            before = torch.where(score < 0, score / self.penalty, score * self.penalty)
            scores[:, token] = torch.where(unpunished, before, score)
        for run, following in zip(runs, self.tokens[1:], strict=False):
            rows = run[:, -1:].any(dim=1)
            scores[rows] = float("-inf")
            scores[rows, following] = 0.0
        return scores


def _followed(input_ids: torch.Tensor, run: torch.Tensor, token: int) -> torch.Tensor:
    """Where `token` stands directly behind the end of a run [batch, length]."""
    return (input_ids == token) & pad(run[:, :-1], (1, 0))


class GroupedNet(nn.Module):
    """MiniGPT-v2: ViT at 448 pixels, each 4 consecutive patches joined, one linear layer, LLaMA-2."""

    JOINED = 4

    def __init__(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Build the parts."""
        super().__init__()
        self.vision_model = vision_tower(parts["vision"])
        self.language_projection = nn.Linear(self.JOINED * parts["vision"]["hidden_size"], parts["text"]["hidden_size"])
        self.language_model = language_model(parts["text"])

    def vision(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, side, side] -> [n, patches / 4, hidden]; the class token is left out."""
        # Four that follow one another in a row of patches, not a square of two by two.
        patches = self.vision_model(pixels).last_hidden_state[:, 1:]
        joined = patches.reshape(len(pixels), -1, self.JOINED * patches.shape[-1])
        projected: torch.Tensor = self.language_projection(joined)
        return projected
