"""Qwen-VL-Chat (Bai et al., 2023), 9.6B: a ViT-bigG at 448 pixels, a resampler to 256 tokens, Qwen-7B.

Qwen-7B is transformers' Qwen2 under other names; its tokenizer is published as tiktoken ranks (`qwen.tiktoken`). Exact
up to 2,048 tokens: beyond, the authors stretch the positions, which is left out here. Pictures are squashed, so text
typed below them stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from mmsb.config import settings
from mmsb.convert.rename import Rules, parted
from mmsb.convert.source import Sources
from mmsb.model.composed.base import Composed

VIT = {
    "hidden_size": 1664,
    "intermediate_size": 8192,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "image_size": 448,
    "patch_size": 14,
    "num_positions": 256,
    "num_query_tokens": 256,
    "resampler_heads": 32,
}
QWEN_7B = {
    "model_type": "qwen2",
    # More than its tokens: the rows that fill up to a multiple of 128 are in the published file.
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}

BLOCK, OURS = r"transformer\.h\.(\d+)", r"language_model.model.layers.\1"
TOWER = r"transformer\.visual\.transformer\.resblocks\.(\d+)"
QWEN_RULES: Rules = (
    (r"transformer\.wte\.weight", r"language_model.model.embed_tokens.weight"),
    (r"transformer\.ln_f\.weight", r"language_model.model.norm.weight"),
    (r"lm_head\.weight", r"language_model.lm_head.weight"),
    (rf"{BLOCK}\.ln_1\.weight", rf"{OURS}.input_layernorm.weight"),
    (rf"{BLOCK}\.ln_2\.weight", rf"{OURS}.post_attention_layernorm.weight"),
    (rf"{BLOCK}\.attn\.c_attn\.(weight|bias)", rf"{OURS}.self_attn.qkv.\2"),
    (rf"{BLOCK}\.attn\.c_proj\.weight", rf"{OURS}.self_attn.o_proj.weight"),
    (rf"{BLOCK}\.mlp\.w1\.weight", rf"{OURS}.mlp.up_proj.weight"),
    (rf"{BLOCK}\.mlp\.w2\.weight", rf"{OURS}.mlp.gate_proj.weight"),
    (rf"{BLOCK}\.mlp\.c_proj\.weight", rf"{OURS}.mlp.down_proj.weight"),
    (r"transformer\.visual\.conv1\.weight", r"tower.patches.weight"),
    (r"transformer\.visual\.positional_embedding", r"tower.positions"),
    (r"transformer\.visual\.ln_pre\.(\w+)", r"tower.norm.\1"),
    (rf"{TOWER}\.ln_([12])\.(\w+)", r"tower.layers.\1.norm\2.\3"),
    (rf"{TOWER}\.attn\.(in_proj|out_proj)\.(\w+)", r"tower.layers.\1.\2.\3"),
    (rf"{TOWER}\.mlp\.(c_fc|c_proj)\.(\w+)", r"tower.layers.\1.\2.\3"),
    (r"transformer\.visual\.attn_pool\.(query|pos_embed)", r"resampler.\1"),
    (r"transformer\.visual\.attn_pool\.((?:kv_proj|ln_q|ln_kv)\.\w+)", r"resampler.\1"),
    (r"transformer\.visual\.attn_pool\.attn\.(in_proj_weight|in_proj_bias|out_proj\.\w+)", r"resampler.attn.\1"),
    (r"transformer\.visual\.ln_post\.(\w+)", r"resampler.ln_post.\1"),
    (r"transformer\.visual\.proj", r"resampler.proj"),
)


@settings
class QwenVL(Composed):
    """Qwen-VL-Chat; `parts.vision` also holds the resampler's sizes."""

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"vision": VIT, "text": QWEN_7B}
    RULES: ClassVar[Mapping[str, Rules]] = {"language": QWEN_RULES}

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """ViT, resampler, Qwen."""
        from mmsb.model.composed.qwen_vl_net import QwenVLNet

        return QwenVLNet(parts)

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """Rename; part the language model's joined query, key and value."""
        return parted(super().convert(sources))

    def tokenizer(self, sources: Sources) -> Any:
        """Qwen's tokenizer from its ranks."""
        from mmsb.model.composed.qwen_tokenizer import RANKS, qwen_tokenizer

        return qwen_tokenizer(sources.folder("language") / RANKS)
