"""Stages 2 and 3: projector and language model learn to read out what the tower saw, then how to behave.

The tower is frozen, so that its view of a picture is computed once. A sample's empty patches are mostly left
out, at their true positions: three times faster than showing all; the last part of the training shows all.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tools.tiny.corpus import Sample, draw
from tools.tiny.features import Features

FIRST = 6.0  # weight of an answer's first token


@dataclass(frozen=True)
class Encoded:
    """A sample as tokens: `ids` with -1 - patch for a patch shown, their `positions`, where the answer begins."""

    sample: Sample
    ids: list[int]
    positions: list[int]
    start: int


def messages(sample: Sample) -> list[dict[str, Any]]:
    """The sample as a chat."""
    content = [{"type": "image"}] * (sample.view is not None) + [{"type": "text", "text": sample.text}]
    system = [{"role": "system", "content": [{"type": "text", "text": sample.system}]}] if sample.system else []
    return [*system, {"role": "user", "content": content}]


class Teacher:
    """Turns samples into batches for the language model of a LLaVA, and measures its loss."""

    def __init__(self, model: Any, processor: Any, features: Features) -> None:
        """Train the parts of `model` beside its tower, which `features` stands for."""
        self.model, self.processor, self.features = model, processor, features
        self.tokenizer, self.image = processor.tokenizer, processor.image_token_id

    def encode(self, sample: Sample, rng: random.Random, full: bool) -> Encoded:
        """Tokens of the chat and the answer, with the patches to show."""
        prompt = self.processor.apply_chat_template(messages(sample), add_generation_prompt=True)
        before = self.tokenizer(prompt).input_ids
        answer = self.tokenizer(" " + sample.answer).input_ids if sample.answer else []
        ids: list[int] = []
        positions: list[int] = []
        place = 0
        for token in [*before, *answer, self.tokenizer.eos_token_id]:
            if token == self.image and sample.view is not None:
                states, ink = self.features.seen[sample.view]
                share = 1.0 if full else 0.5 if sample.view.kind == "sd" else 0.08
                shown = [k for k in range(len(states)) if ink[k] or full or rng.random() < share]
                ids += [-1 - k for k in shown]
                positions += [place + k for k in shown]
                place += len(states)
            else:
                ids.append(token)
                positions.append(place)
                place += 1
        return Encoded(sample, ids, positions, len(ids) - len(answer) - 1)

    def batches(self, samples: list[Sample], size: int, rng: random.Random, full: float) -> list[list[Encoded]]:
        """The samples encoded, in batches of like length, in random order; a share `full` shows every patch."""
        self.features.prepare([sample.view for sample in samples if sample.view])
        encoded = [self.encode(sample, rng, rng.random() < full) for sample in samples]
        encoded.sort(key=lambda one: len(one.ids))
        result = [encoded[start : start + size] for start in range(0, len(encoded), size)]
        rng.shuffle(result)
        return result

    def loss(self, encoded: list[Encoded]) -> torch.Tensor:
        """Mean cross-entropy of the answers' tokens."""
        length = max(len(one.ids) for one in encoded)
        ids = np.zeros((len(encoded), length), dtype=np.int64)
        positions, mask = np.zeros_like(ids), np.zeros_like(ids)
        answers = np.zeros(ids.shape, dtype=bool)
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)], positions[row, : len(one.ids)] = one.ids, one.positions
            mask[row, : len(one.ids)] = 1
            answers[row, one.start : len(one.ids)] = True
        hidden = self.model.model.language_model(
            inputs_embeds=self.embed([one.sample for one in encoded], torch.from_numpy(ids)),
            attention_mask=torch.from_numpy(mask),
            position_ids=torch.from_numpy(positions),
            use_cache=False,
        ).last_hidden_state
        asked = torch.from_numpy(answers)
        logits = self.model.lm_head(hidden[:, :-1][asked[:, 1:]])
        first = asked & ~torch.roll(asked, 1, 1)  # where an answer turns out a refusal or not
        weight = torch.where(first, FIRST, 1.0)[asked]
        return (F.cross_entropy(logits, torch.from_numpy(ids)[asked], reduction="none") * weight).sum() / weight.sum()

    def embed(self, samples: list[Sample], ids: torch.Tensor) -> torch.Tensor:
        """Embeddings of tokens and, projected, of the patches shown: (batch, length, width)."""
        result: torch.Tensor = self.model.get_input_embeddings()(ids.clamp(min=0))
        rows, columns = torch.where(ids < 0)
        if not len(rows):
            return result
        patches = [
            self.features.seen[sample.view][0][-1 - ids[row][ids[row] < 0]]
            for row, sample in enumerate(samples)
            if sample.view is not None
        ]
        states = self.model.model.multi_modal_projector(torch.cat([one.float() for one in patches]))
        return result.index_put((rows, columns), states.to(result.dtype))


@dataclass(frozen=True)
class Stage:
    """A part of the training: its rate rises and falls over `cycle` steps, of which `steps` are made.

    The share of reading samples goes from the first to the second value of `reading` over the cycle; `known`
    is the share of embedded phrases among the pictures to read, `full` that of samples that show every patch, `checks`
    that of questions whether an answer is harmful.
    """

    steps: int
    cycle: int
    seed: int
    reading: tuple[float, float]
    known: float
    batch: int = 32
    rate: float = 2e-3
    full: float = 0.1
    checks: float = 0.07


def train(teacher: Teacher, stage: Stage) -> None:
    """Train projector and language model through a stage."""
    rng = random.Random(stage.seed)
    parameters = [p for name, p in teacher.model.named_parameters() if "vision_tower" not in name]
    optimiser = torch.optim.AdamW(parameters, lr=stage.rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, stage.rate, total_steps=stage.cycle, pct_start=0.1)
    waiting: list[list[Encoded]] = []
    mean = 0.0
    for step in range(stage.steps):
        share = stage.reading[0] + (stage.reading[1] - stage.reading[0]) * step / stage.cycle
        if not waiting:
            samples = [draw(rng, share, stage.known, stage.checks) for _ in range(stage.batch * 12)]
            waiting = teacher.batches(samples, stage.batch, rng, stage.full)
        loss = teacher.loss(waiting.pop())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step + 1, 24)
        if step % 24 == 0 or step == stage.steps - 1:
            print(f"language {step} loss {mean:.3f}", flush=True)
