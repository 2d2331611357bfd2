"""Logits of an answer set against those that the same model gives without a part of the prompt.

    z + weight (z - z without)      at every token, the answer so far behind both prompts

Source: CoCA (Gao et al., COLM 2024, arXiv 2409.11365), which amplifies so what a safety principle changes. The same
arithmetic as classifier-free guidance, but on the logits themselves and with the picture in both prompts.
"""

from __future__ import annotations

from typing import Any


class Calibrated:
    """Keeps the second prompt's cache beside that of `generate`, which calls it once a token.

    Attributes:
        model: the model that answers.
        without: the encoded second prompt, one row without padding: so positions need no care.
        weight: how much of the difference is added; 0 leaves the answer as it is.
    """

    def __init__(self, model: Any, without: Any, weight: float) -> None:
        """Nothing has been read yet."""
        self.model, self.without, self.weight = model, without, weight
        self.cache: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The calibrated logits of the next token [1, vocabulary]."""
        import torch

        if self.cache is None:
            read = self.model(**self.without, use_cache=True)
        else:
            # Pictures were read with the prompt: a token more is all that the cache lacks.
            mask = torch.ones((1, self.cache.get_seq_length() + 1), dtype=torch.long, device=input_ids.device)
            last = input_ids[:, -1:]
            read = self.model(input_ids=last, attention_mask=mask, past_key_values=self.cache, use_cache=True)
        self.cache = read.past_key_values
        # `generate` hands over float32 on its own device; the logits come in the type and place of the weights.
        return scores + self.weight * (scores - read.logits[:, -1].to(scores))


def calibrated(model: Any, without: Any, weight: float) -> Any:
    """What `generate` takes as `logits_processor`."""
    from transformers import LogitsProcessorList

    return LogitsProcessorList([Calibrated(model, without, weight)])
