"""ShieldGemma 2 through transformers: it classifies a picture by a policy, and generates nothing.

Its answer is Yes (the picture violates the policy) or No, with the probability of each among the two. The policy is the
prompt's text; its processor puts that into the checkpoint's own chat template.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmsb.config import settings
from mmsb.errors import ModelError
from mmsb.model.chances import DIGITS
from mmsb.model.generation import defused
from mmsb.model.hf import HF, Loaded
from mmsb.types import How, Prompt, Response

POLICY = "asked"


@settings
class ShieldGemma2(HF):
    """ShieldGemma 2; for judge=shieldgemma_2, not a target."""

    CONTRASTS: ClassVar[bool] = False

    ARCHITECTURE: ClassVar[str] = "ShieldGemma2ForImageClassification"

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        """Encode a batch: each picture with its own policy, padded on the left.

        Raises:
            ModelError: a prompt has no picture.
        """
        import torch
        from transformers import BatchFeature

        # One by one: the processor puts every policy to every picture, and each prompt has its own.
        encoded = [self._encoded(loaded, prompt) for prompt in batch]
        longest = max(one["input_ids"].shape[1] for one in encoded)
        fillers = {"input_ids": loaded.processor.tokenizer.pad_token_id, "attention_mask": 0, "token_type_ids": 0}
        joined = {}
        for name in encoded[0]:
            rows = [one[name] for one in encoded]
            if name in fillers:
                rows = [torch.nn.functional.pad(row, (longest - row.shape[1], 0), value=fillers[name]) for row in rows]
            joined[name] = torch.cat(rows)
        return BatchFeature(joined)

    def _encoded(self, loaded: Loaded, prompt: Prompt) -> Any:
        if prompt.image is None:
            raise ModelError(f"{self.name} classifies pictures", "Use it as judge=shieldgemma_2.")
        policy = defused(prompt.text, loaded.specials)
        # The processor asks about every policy it knows unless one is named.
        return loaded.processor(
            images=[self.fitted(loaded, prompt.image)],
            custom_policies={POLICY: policy},
            policies=[POLICY],
            return_tensors="pt",
        )

    def run_as(self, loaded: Loaded, inputs: Any, seed: int, how: How) -> list[Response]:
        """Classify a batch."""
        import torch

        moved = inputs.to(loaded.model.device, dtype=loaded.model.dtype)
        with torch.inference_mode():
            likely = loaded.model(**moved).probabilities.float().tolist()
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        return [
            # The higher of two: the model gives the chances and leaves the threshold to the judge.
            Response(
                "Yes" if yes >= no else "No",
                input_tokens=count,
                output_tokens=0,
                chances={"yes": round(yes, DIGITS), "no": round(no, DIGITS)},
            )
            for (yes, no), count in zip(likely, counts, strict=True)
        ]
