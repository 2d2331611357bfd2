"""LLaVA-1.5 (Liu et al., 2023) through transformers, with its prompt tokenised as its authors do.

Their code tokenises the text before and after the picture apart, so that the second begins with a blank of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmsb.config import settings
from mmsb.model.hf import HF, Loaded
from mmsb.model.template import template_text
from mmsb.types import Prompt


@settings
class Llava(HF):
    """LLaVA-1.5: system sentence, `USER:` picture, question, `ASSISTANT:`."""

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        """Encode a batch whose prompts all have an image, or none has."""
        from transformers import BatchFeature

        processor = loaded.processor
        encoded = padded([self.ids(loaded, prompt) for prompt in batch], processor.tokenizer.pad_token_id)
        images = [picture for picture in self.pictures(loaded, batch) if picture is not None]
        if images:
            # Fitted before: the published processor crops the centre, which leaves 344 of 852 dark pixels of the typed
            # line.
            encoded["pixel_values"] = processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return BatchFeature(encoded)

    def ids(self, loaded: Loaded, prompt: Prompt) -> list[int]:
        """Token ids of a prompt; one image token for each patch."""
        text = loaded.processor.apply_chat_template(
            self._messages(loaded, prompt),
            chat_template=template_text(self.template),
            add_generation_prompt=True,
            tokenize=False,
        )
        tokenizer, config = loaded.processor.tokenizer, loaded.model.config
        # Without the class token, which LLaVA-1.5 leaves out.
        picture = [config.image_token_id] * (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        ids = [tokenizer.bos_token_id]
        for index, segment in enumerate(text.split(loaded.processor.image_token)):
            ids += picture if index else []
            ids += tokenizer(segment, add_special_tokens=False)["input_ids"]
        return ids


def padded(rows: Sequence[Sequence[int]], padding: int) -> dict[str, Any]:
    """Token ids of a batch, padded on the left: `input_ids` and `attention_mask` [rows, longest]."""
    import torch

    length = max(len(row) for row in rows)
    ids = [[padding] * (length - len(row)) + list(row) for row in rows]
    mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
