"""InstructBLIP (Dai et al., 2023) through transformers, mended where it is not what its authors' code does.

Its processor pads the Q-Former's text on the left like the language model's. The Q-Former counts positions from the
first token, padding or not, so that a picture would be seen differently in every batch. Here it is padded on the right.
The configuration on the hub ends an answer with `<s>`, which never comes; its authors' language model ends with `</s>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmsb.config import settings
from mmsb.model.generation import defused
from mmsb.model.hf import HF, Loaded, as_published
from mmsb.types import Prompt, Response

QFORMER_TOKENS = 128  # max_txt_len of their model: of a longer question, the Q-Former reads the end
LN_VISION_EPS = 1e-5  # of the last norm of the vision tower; the others have 1e-6


@settings
class InstructBLIP(HF):
    """InstructBLIP; the prompt is the bare question. Without an image the language model is asked alone.

    The language model is given embeddings, as in the authors' code: a repetition penalty then counts new tokens only.
    """

    CONTRASTS: ClassVar[bool] = False

    SEES_REPLY: ClassVar[bool] = False

    def load(self) -> Loaded:
        """Load processor and weights; a text begins with `</s>` and a blank, as their tokenizer's settings have it.

        Raises:
            ModelError: not found, or keys that do not match.
        """
        from tokenizers import processors

        loaded = super().load()
        words = loaded.processor.tokenizer
        as_published(words.backend_tokenizer)
        begin = words.bos_token, words.bos_token_id
        words.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin[0]} $A", pair=f"{begin[0]} $A {begin[0]} $B", special_tokens=[begin]
        )
        # The end of a question says what is wanted; its authors cut there too.
        loaded.processor.qformer_tokenizer.truncation_side = "left"
        loaded.model.vision_model.post_layernorm.eps = LN_VISION_EPS
        return loaded

    def further(self, loaded: Loaded) -> dict[str, Any]:
        """The end of an answer and what stands behind it in a batch, which the language model's configuration lacks."""
        tokenizer = loaded.processor.tokenizer
        return {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}

    def run(self, loaded: Loaded, inputs: Any, seed: int) -> list[Response]:
        """Answer a batch."""
        import torch

        with torch.inference_mode():
            embedded = self.embed(loaded, inputs)
        return self.answers(loaded, loaded.model.language_model, embedded, seed)

    def embed(self, loaded: Loaded, inputs: Any) -> dict[str, Any]:
        """Embeddings of picture, if any, and question, and their mask: [batch, length, hidden], [batch, length]."""
        model = loaded.model
        encoded = inputs.to(model.device)
        embeds = model.get_input_embeddings()(encoded["input_ids"])
        if "pixel_values" in encoded:
            seen = model.get_image_features(
                encoded["pixel_values"].to(model.dtype),
                qformer_input_ids=encoded["qformer_input_ids"],
                qformer_attention_mask=encoded["qformer_attention_mask"],
            ).pooler_output
            # By scattering, so that rows whose padding differs need no offsets of their own.
            place = (encoded["input_ids"] == model.config.image_token_index).unsqueeze(-1).expand_as(embeds)
            embeds = embeds.masked_scatter(place, seen.to(embeds.dtype))
        return {"inputs_embeds": embeds, "attention_mask": encoded["attention_mask"]}

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Any:
        """Encode a batch whose prompts all have an image, or none has.

        The language model's text is padded on the left, the Q-Former's on the right.
        """
        texts = self._texts(loaded, batch)
        images = [picture for picture in self.pictures(loaded, batch) if picture is not None]
        if not images:
            return loaded.processor.tokenizer(texts, padding=True, return_tensors="pt")
        encoded = loaded.processor(images=images, text=texts, padding=True, return_tensors="pt")
        # Encoded again, over what the processor gave: in transformers 5.23 it pads these on the left as well, and two
        # of three
        # answers in a batch were others than alone.
        qformer = loaded.processor.qformer_tokenizer(
            texts,
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=QFORMER_TOKENS,
            return_tensors="pt",
        )
        encoded["qformer_input_ids"] = qformer["input_ids"]
        encoded["qformer_attention_mask"] = qformer["attention_mask"]
        return encoded

    def _texts(self, loaded: Loaded, batch: Sequence[Prompt]) -> list[str]:
        return [defused("\n\n".join(filter(None, [p.system, p.text])), loaded.specials) for p in batch]
