"""The shapes of the tiny LLaVA: transformers' own classes, small numbers."""

from __future__ import annotations

from typing import Any

from tools.tiny.page import GRID, PATCH, SIDE

MEAN, STD = 1.0, 0.3  # white is 0 and ink is large: with white at 1 a tower this small never began to read
VISION = {"hidden_size": 160, "intermediate_size": 640, "num_hidden_layers": 4, "num_attention_heads": 5}
TEXT = {
    "hidden_size": 160,
    "intermediate_size": 480,
    "num_hidden_layers": 4,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
VOCABULARY = 1024  # tokens


def vision_config() -> Any:
    """A CLIP vision tower of GRID x GRID patches."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(image_size=SIDE, patch_size=PATCH, hidden_act="gelu", **VISION)


def llava(tokenizer: Any) -> Any:
    """A LLaVA with random weights; seed torch before. The projector sees the tower's last hidden states."""
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    text = LlamaConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.05,
        **TEXT,
    )
    config = LlavaConfig(
        vision_config=vision_config(),
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=GRID**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config)
