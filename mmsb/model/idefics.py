"""IDEFICS (Laurençon et al., 2023) through transformers, with a prompt built here and its published tokenizer.

Its processor opens any text that reads as an address as a picture from the network: a question must never reach it.
Transformers has come to read LLaMA's tokenizers anew: the blank before a text that follows a special token is gone. The
published model was trained with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmsb.config import settings
from mmsb.model.generation import defused
from mmsb.model.hf import HF, Loaded, as_published
from mmsb.types import Prompt

AROUND, IMAGE, END = "<fake_token_around_image>", "<image>", "<end_of_utterance>"


@settings
class Idefics(HF):
    """IDEFICS, instructed: `User:` picture, question, end of utterance, `Assistant:`."""

    CONTRASTS: ClassVar[bool] = False

    SEES_REPLY: ClassVar[bool] = False

    def load(self) -> Loaded:
        """Load processor and weights; the tokenizer puts a blank before every text, as published.

        Raises:
            ModelError: not found, or keys that do not match.
        """
        loaded = super().load()
        as_published(loaded.processor.tokenizer.backend_tokenizer)
        return loaded

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        """Encode a batch: texts, pixels [batch, 1, 3, side, side] and which positions see the picture."""
        import torch
        from transformers import BatchFeature

        processor = loaded.processor
        encoded = processor.tokenizer(
            # By its tokenizer alone: its processor would fetch an address in a question from the network.
            [self.text(loaded, prompt) for prompt in batch],
            add_special_tokens=False,
            padding=True,
            return_tensors="pt",
        )
        ids = encoded["input_ids"]
        side = processor.image_processor.image_size
        pixels = torch.zeros(len(batch), 1, 3, side, side)
        for row, picture in enumerate(self.pictures(loaded, batch)):
            if picture is not None:
                pixels[row] = processor.image_processor([picture], return_tensors="pt")
        image_token = processor.tokenizer.convert_tokens_to_ids(IMAGE)
        # A text before its picture does not see it, as in training.
        after_image = (ids == image_token).cumsum(dim=1).clamp(max=1).unsqueeze(-1)
        return BatchFeature(
            {
                "input_ids": ids,
                "attention_mask": encoded["attention_mask"],
                "pixel_values": pixels,
                "image_attention_mask": after_image,
            }
        )

    def text(self, loaded: Loaded, prompt: Prompt) -> str:
        """The prompt as the model was instructed to read it."""
        system, question = (defused(text, loaded.specials) for text in (prompt.system or "", prompt.text))
        # Without a picture, the blank that the tokenizer puts behind its last token.
        picture = f"{AROUND}{IMAGE}{AROUND}" if prompt.image is not None else " "
        before = f"{system}\n\n" if system else ""
        return f"{loaded.processor.tokenizer.bos_token}User:{picture}{before}{question.strip(' ')}{END}\nAssistant:"

    def further(self, loaded: Loaded) -> dict[str, Any]:
        """An answer ends with its utterance and holds no picture."""
        ids = loaded.processor.tokenizer.convert_tokens_to_ids
        # Without the ban the model may write a picture's token, which it then looks for.
        return {"eos_token_id": [ids(END)], "bad_words_ids": [[ids(IMAGE)], [ids(AROUND)]]}
