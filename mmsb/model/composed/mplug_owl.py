"""mPLUG-Owl (Ye et al., 2023), 7B: a CLIP-like ViT-L, an abstractor that reads the image into 64 tokens, LLaMA.

The published vision tower keeps query, key and value of each head side by side in one weight; CLIP's keeps them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from mmsb.config import settings
from mmsb.convert.rename import Rules, parted
from mmsb.convert.source import Sources
from mmsb.model.composed.base import Composed
from mmsb.model.composed.minigpt import LLAMA_7B
from mmsb.model.composed.sizes import CLIP_L

ABSTRACTOR = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "num_query_tokens": 64,
}

TOWER, BLOCK = r"vision_model\.encoder\.layers\.(\d+)", r"vision_model.encoder.layers.\1"
READER, LAYER = r"abstractor\.encoder\.layers\.(\d+)\.crossattention", r"abstractor.layers.\1"
OWL_RULES: Rules = (
    (r"vision_model\.embeddings\.cls_token", r"vision_model.embeddings.class_embedding"),
    (r"vision_model\.embeddings\.position_embedding", r"vision_model.embeddings.position_embedding.weight"),
    (r"vision_model\.embeddings\.patch_embed\.weight", r"vision_model.embeddings.patch_embedding.weight"),
    (r"vision_model\.embeddings\.pre_layernorm\.(\w+)", r"vision_model.pre_layrnorm.\1"),
    (rf"{TOWER}\.self_attn\.query_key_value\.(\w+)", rf"{BLOCK}.self_attn.qkv.\2"),
    (rf"{TOWER}\.self_attn\.dense\.(\w+)", rf"{BLOCK}.self_attn.out_proj.\2"),
    (rf"{TOWER}\.input_layernorm\.(\w+)", rf"{BLOCK}.layer_norm1.\2"),
    (rf"{TOWER}\.post_attention_layernorm\.(\w+)", rf"{BLOCK}.layer_norm2.\2"),
    (rf"{TOWER}\.mlp\.(fc[12]\.\w+)", rf"{BLOCK}.mlp.\2"),
    (r"vision_model\.post_layernorm\.(\w+)", r"vision_model.post_layernorm.\1"),
    (r"query_tokens", r"abstractor.queries"),
    (rf"{READER}\.attention\.(query|key|value)\.(\w+)", rf"{LAYER}.\2.\3"),
    (rf"{READER}\.output\.out_proj\.(\w+)", rf"{LAYER}.out.\2"),
    (rf"{READER}\.norm1\.(\w+)", rf"{LAYER}.norm_query.\2"),
    (rf"{READER}\.normk\.(\w+)", rf"{LAYER}.norm_key.\2"),
    (rf"{READER}\.output\.norm2\.(\w+)", rf"{LAYER}.norm_mlp.\2"),
    (rf"{READER}\.output\.mlp\.w1\.(\w+)", rf"{LAYER}.gate.\2"),
    (rf"{READER}\.output\.mlp\.w2\.(\w+)", rf"{LAYER}.down.\2"),
    (rf"{READER}\.output\.mlp\.w3\.(\w+)", rf"{LAYER}.up.\2"),
    (rf"{READER}\.output\.mlp\.ffn_ln\.(\w+)", rf"{LAYER}.norm_inner.\2"),
    (r"abstractor\.visual_fc\.(\w+)", r"abstractor.projection.\1"),
    (r"abstractor\.vit_eos", r"abstractor.end"),
    (r"language_model\..*\.rotary_emb\.inv_freq", None),
    (r"(language_model\..*)", r"\1"),
)


@settings
class MplugOwl(Composed):
    """mPLUG-Owl 7B."""

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Not CLIP's 1e-5: the tower is theirs, only its shape is CLIP's.
        "vision": {**CLIP_L, "layer_norm_eps": 1e-6},
        "abstractor": ABSTRACTOR,
        "text": LLAMA_7B,
    }
    RULES: ClassVar[Mapping[str, Rules]] = {"language": OWL_RULES}

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """ViT, abstractor, LLaMA."""
        from mmsb.model.composed.mplug_owl_net import MplugOwlNet

        return MplugOwlNet(parts)

    def sizes(self, sources: Sources) -> dict[str, dict[str, Any]]:
        """The abstractor's MLP is as wide as in the published weights, whatever their configuration says."""
        sizes = super().sizes(sources)
        first = sources.weights("language").get("abstractor.encoder.layers.0.crossattention.output.mlp.w1.bias")
        if first is not None:  # else it is not the published file, and its other keys say so
            sizes["abstractor"]["intermediate_size"] = len(first)
        return sizes

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """Rename; part query, key and value, and drop the leading 1s of the ViT's embeddings."""
        heads = self.architecture()["vision"]["num_attention_heads"]
        for key, tensor in parted(super().convert(sources), lambda joined: out_of_heads(joined, heads)):
            single = key.startswith("vision_model.embeddings.") and "patch" not in key
            yield key, tensor.squeeze() if single else tensor


def out_of_heads(tensor: Any, heads: int) -> list[Any]:
    """Query, key and value out of a weight [heads * 3 * size, ...] that holds them head by head."""
    by_head = tensor.unflatten(0, (heads, 3, -1))
    return [by_head[:, index].flatten(0, 1) for index in range(3)]
