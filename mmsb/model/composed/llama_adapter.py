"""LLaMA-Adapter V2 (Gao et al., 2023), multimodal 7B: LLaMA with prompts that hold the image.

The last layers also attend to ten learned prompts, to which the image is added; no image token stands in the sequence.
The adapter is published apart from LLaMA, for Meta's own rotary order; what acts
on queries and keys is permuted to the order of transformers' LLaMA. The authors train and show pictures with red and
blue swapped, and train text-only instructions with an empty (zero) image; so does this. Their centre crop cuts off what
stands at a picture's edges: text typed below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from PIL import Image

from mmsb.config import settings
from mmsb.convert.rename import Rules
from mmsb.convert.source import Sources
from mmsb.model.composed.base import Composed
from mmsb.model.composed.batch import Inputs
from mmsb.model.composed.minigpt import LLAMA_7B
from mmsb.model.composed.sizes import CLIP_L

READER: dict[str, Any] = {"hidden_size": 768, "num_hidden_layers": 8, "num_attention_heads": 16, "num_query_tokens": 10}
ADAPTED = {"adapted_layers": 31, "lora_rank": 0}

LAYER, OURS = r"llama\.layers\.(\d+)", r"language_model.model.layers.\1"
ADAPTER_RULES: Rules = (
    (r"clip_proj\.(\w+)", r"reader.project_in.\1"),
    (r"clip_proj_norm\.(\w+)", r"reader.norm_in.\1"),
    (r"visual_query\.weight", r"reader.queries"),
    (r"visual_blocks\.(\d+\.norm[12]\.\w+)", r"reader.blocks.\1"),
    (r"visual_blocks\.(\d+)\.(?:attn|mlp)\.((?:qkv|proj|fc1|fc2)\.\w+)", r"reader.blocks.\1.\2"),
    (r"visual_proj\.(\w+)", r"reader.project_out.\1"),
    (r"visual_proj_norm\.(\w+)", r"reader.norm_out.\1"),
    (r"adapter_query\.weight", r"prompts"),
    (r"llama\.norm\.weight", r"language_model.model.norm.weight"),
    (rf"{LAYER}\.attention_norm\.weight", rf"{OURS}.input_layernorm.weight"),
    (rf"{LAYER}\.ffn_norm\.weight", rf"{OURS}.post_attention_layernorm.weight"),
    (rf"{LAYER}\.attention\.(gate|new_gate)", rf"{OURS}.self_attn.\2"),
    (rf"{LAYER}\.attention\.w([qkvo])\.bias", rf"{OURS}.self_attn.\2_proj.bias"),
    (rf"{LAYER}\.attention\.lora_w([qkvo])_l1\.weight", rf"{OURS}.self_attn.\2_proj.lora_down"),
    (rf"{LAYER}\.attention\.lora_w([qkvo])_l2\.weight", rf"{OURS}.self_attn.\2_proj.lora_up"),
    *(
        rule
        for number, name in (("1", "gate"), ("2", "down"), ("3", "up"))
        for rule in (
            (rf"{LAYER}\.feed_forward\.w{number}\.bias", rf"{OURS}.mlp.{name}_proj.bias"),
            (rf"{LAYER}\.feed_forward\.lora_w{number}_l1\.weight", rf"{OURS}.mlp.{name}_proj.lora_down"),
            (rf"{LAYER}\.feed_forward\.lora_w{number}_l2\.weight", rf"{OURS}.mlp.{name}_proj.lora_up"),
        )
    ),
)
# LLaMA's own norms are replaced by the adapter's.
LANGUAGE_RULES: Rules = (
    (r".*\.rotary_emb\.inv_freq|model\.layers\.\d+\.\w+_layernorm\.weight|model\.norm\.weight", None),
    (r"(.*)", r"language_model.\1"),
)
CLIP_RULES: Rules = (
    (r"text_model\..*|text_projection\.weight|logit_scale|.*\.position_ids", None),
    (r"(vision_model\..*|visual_projection\.weight)", r"clip.\1"),
)


@settings
class LlamaAdapter(Composed):
    """LLaMA-Adapter V2 multimodal 7B; `parts.text` also holds the number of adapted layers and the LoRA rank."""

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "vision": CLIP_L,
        "reader": READER,
        # Tuned biases are in the adapter's file; LLaMA's own layers have none to load.
        "text": {**LLAMA_7B, **ADAPTED, "attention_bias": True, "mlp_bias": True},
    }
    RULES: ClassVar[Mapping[str, Rules]] = {
        "vision": CLIP_RULES,
        "adapter": ADAPTER_RULES,
        "language": LANGUAGE_RULES,
    }

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """CLIP, the image reader, LLaMA with adapted attention."""
        from mmsb.model.composed.llama_adapter_net import LlamaAdapterNet

        return LlamaAdapterNet(parts)

    def sizes(self, sources: Sources) -> dict[str, dict[str, Any]]:
        """The LoRA's rank is that of the published adapter; 0 for the variant without."""
        sizes = super().sizes(sources)
        first = sources.weights("adapter").get("llama.layers.0.attention.lora_wq_l1.weight")
        # Read from the file: BIAS-7B and LORA-BIAS-7B are published under one name of model.
        sizes["text"]["lora_rank"] = 0 if first is None else len(first)
        return sizes

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """Rename; bring the adapter's changes of queries and keys into transformers' rotary order."""
        heads = self.architecture()["text"]["num_attention_heads"]
        # LLaMA's own q and k come from transformers' conversion and are in its order already; values are not rotated.
        turned = re.compile(r"language_model\..*\.(q_proj\.bias|[qk]_proj\.lora_up)")
        for key, tensor in super().convert(sources):
            yield key, halves(tensor, heads) if turned.fullmatch(key) else tensor

    def pixels(self, pictures: Iterable[Image.Image], side: int) -> Any:
        """Pixels of the pictures with red and blue swapped."""
        # OpenCV reads BGR, and the authors never turn it round.
        return super().pixels((Image.merge("RGB", picture.split()[::-1]) for picture in pictures), side)

    def generating(self, net: Any, inputs: Inputs) -> AbstractContextManager[dict[str, Any]]:
        """Give the adapted layers each row's image."""
        return net.shown(inputs)  # type: ignore[no-any-return]


def halves(tensor: Any, heads: int) -> Any:
    """Rows [heads * size, ...] from Meta's rotary order (pairs side by side) to transformers' (half a head apart)."""
    return tensor.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2).contiguous()
