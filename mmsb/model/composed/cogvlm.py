"""CogVLM (Wang et al., 2023), chat, 17B: LLaMA in which every linear layer has a twin for image tokens.

The image comes from EVA2-CLIP-E at 490 pixels. All its patches share one position; the token that closes it passes the
language's layers. A prompt without an image is asked in Vicuna's words, as the authors' demo does. Pictures are
squashed, so text typed below them stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from mmsb.config import settings
from mmsb.convert.rename import Rules, parted
from mmsb.convert.source import Sources, published_config
from mmsb.model.composed.base import Composed
from mmsb.model.composed.batch import Inputs
from mmsb.model.composed.minigpt import LLAMA_7B

EVA2_E = {
    "hidden_size": 1792,
    "intermediate_size": 15360,
    "num_hidden_layers": 63,
    "num_attention_heads": 16,
    "image_size": 490,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
}

LAYER, OURS = r"model\.layers\.(\d+)", r"language_model.model.layers.\1"
COGVLM_RULES: Rules = (
    (r".*\.rotary_emb\.inv_freq", None),
    (r"model\.vision\.patch_embedding\.proj\.(\w+)", r"tower.patches.\1"),
    (r"model\.vision\.patch_embedding\.cls_embedding", r"tower.class_embedding"),
    (r"model\.vision\.patch_embedding\.position_embedding\.weight", r"tower.positions"),
    (r"model\.vision\.transformer\.layers\.(\d+)\.(?:attention|mlp)\.(\w+\.\w+)", r"tower.layers.\1.\2"),
    (r"model\.vision\.transformer\.layers\.(\d+)\.input_layernorm\.(\w+)", r"tower.layers.\1.norm1.\2"),
    (r"model\.vision\.transformer\.layers\.(\d+)\.post_attention_layernorm\.(\w+)", r"tower.layers.\1.norm2.\2"),
    (r"model\.vision\.linear_proj\.linear_proj\.weight", r"adapter.project.weight"),
    (r"model\.vision\.linear_proj\.norm1\.(\w+)", r"adapter.norm.\1"),
    (r"model\.vision\.linear_proj\.gate_proj\.weight", r"adapter.gate.weight"),
    (r"model\.vision\.linear_proj\.dense_h_to_4h\.weight", r"adapter.up.weight"),
    (r"model\.vision\.linear_proj\.dense_4h_to_h\.weight", r"adapter.down.weight"),
    (r"model\.vision\.(boi|eoi)", r"\1"),
    (rf"{LAYER}\.self_attn\.(language|vision)_expert_query_key_value\.weight", rf"{OURS}.self_attn.qkv.\2.weight"),
    (rf"{LAYER}\.self_attn\.(language|vision)_expert_dense\.weight", rf"{OURS}.self_attn.o_proj.\2.weight"),
    (rf"{LAYER}\.mlp\.(language|vision)_mlp\.(\w+_proj)\.weight", rf"{OURS}.mlp.\3.\2.weight"),
    (r"(model\.(?:embed_tokens|norm|layers\.\d+\.\w+_layernorm)\.weight|lm_head\.weight)", r"language_model.\1"),
)


@settings
class CogVLM(Composed):
    """CogVLM chat."""

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "vision": EVA2_E,
        "text": {**LLAMA_7B, "rms_norm_eps": 1e-5},
    }
    RULES: ClassVar[Mapping[str, Rules]] = {"model": COGVLM_RULES}

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """EVA2-CLIP-E, adapter, LLaMA with twin layers."""
        from mmsb.model.composed.cogvlm_net import CogVLMNet

        return CogVLMNet(parts)

    def sizes(self, sources: Sources) -> dict[str, dict[str, Any]]:
        """The norms' epsilon is the published configuration's."""
        sizes = super().sizes(sources)
        published = published_config(sources.folder("model"))
        # Not in the weights, so that no key would tell a wrong one.
        sizes["text"]["rms_norm_eps"] = published.get("rms_norm_eps", sizes["text"]["rms_norm_eps"])
        return sizes

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """Rename; part the joined query, key and value of both experts."""
        return parted(super().convert(sources))

    def generating(self, net: Any, inputs: Inputs) -> AbstractContextManager[dict[str, Any]]:
        """Send the image's tokens through their twin layers, and number the positions."""
        return net.routed(inputs)  # type: ignore[no-any-return]
