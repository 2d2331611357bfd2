"""MiniGPT-4 (Zhu et al., 2023), MiniGPT-5 (Zheng et al., 2023) and MiniGPT-v2 (Chen et al., 2023).

MiniGPT-4 sees through BLIP-2's ViT-g and Q-Former (the weights trained with Flan-T5-XXL) and one linear layer into
Vicuna. MiniGPT-5 is the same graph with tokens for drawing; nothing is drawn here, and the words go on after them as in
the authors' code. MiniGPT-v2 drops the Q-Former and sees 448 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

from mmsb.config import settings
from mmsb.convert.lora import adapted
from mmsb.convert.rename import Rules, renamed, renamed_entries
from mmsb.convert.source import Sources
from mmsb.model.composed.base import Composed
from mmsb.model.composed.batch import Inputs

VIT = {
    "hidden_size": 1408,
    "intermediate_size": 6144,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
}
QFORMER = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "encoder_hidden_size": 1408,
    "num_query_tokens": 32,
}
LLAMA_7B = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

# eva_vit_g.pth. The file's 40th block and its head are not used by BLIP-2.
VIT_RULES: Rules = (
    (r"(blocks\.39|norm|fc_norm|head)\..*|mask_token", None),
    (r"cls_token", r"vision_model.embeddings.class_embedding"),
    (r"pos_embed", r"vision_model.embeddings.position_embedding"),
    (r"patch_embed\.proj\.(weight|bias)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"blocks\.(\d+)\.norm(1|2)\.(weight|bias)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"blocks\.(\d+)\.attn\.proj\.(weight|bias)", r"vision_model.encoder.layers.\1.self_attn.projection.\2"),
    (r"blocks\.(\d+)\.attn\.qkv\.weight", r"vision_model.encoder.layers.\1.self_attn.qkv.weight"),
    (r"blocks\.(\d+)\.attn\.(q|v)_bias", r"vision_model.encoder.layers.\1.self_attn.\2_bias"),
    (r"blocks\.(\d+)\.mlp\.(fc1|fc2)\.(weight|bias)", r"vision_model.encoder.layers.\1.mlp.\2.\3"),
)
# blip2_pretrained_flant5xxl.pth. The Q-Former's text side is not used.
QFORMER_RULES: Rules = (
    (r"ln_vision\.(weight|bias)", r"vision_model.post_layernorm.\1"),
    (r"query_tokens", r"query_tokens"),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.(weight|bias)", r"qformer.layernorm.\1"),
    (r"Qformer\.(cls|bert\.embeddings)\..*|t5_proj\..*", None),
    (r"Qformer\.bert\.encoder\.layer\.\d+\.(intermediate|output)\..*", None),
    (
        r"Qformer\.bert\.encoder\.(layer\.\d+)\.(attention|crossattention)\.self\.(.*)",
        r"qformer.encoder.\1.\2.attention.\3",
    ),
    (r"Qformer\.bert\.encoder\.(layer\.\d+)\.(.*)", r"qformer.encoder.\1.\2"),
)
LLAMA_RULES: Rules = ((r".*\.rotary_emb\.inv_freq", None), (r"(.*)", r"language_model.\1"))
PROJECTION_RULES: Rules = ((r"llama_proj\.(weight|bias)", r"language_projection.\1"),)
DRAWING = tuple(f"[IMG{number}]" for number in range(8))
IMAGE_HERE = "<ImageHere>"


@settings
class MiniGPT4(Composed):
    """MiniGPT-4 with Vicuna v0, 7B or 13B."""

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"vision": VIT, "qformer": QFORMER, "text": LLAMA_7B}
    RULES: ClassVar[Mapping[str, Rules]] = {
        "vision": VIT_RULES,
        "qformer": QFORMER_RULES,
        "projection": PROJECTION_RULES,
        "language": LLAMA_RULES,
    }

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """BLIP-2's own graph: ViT, Q-Former, linear layer, LLaMA."""
        from mmsb.model.composed.minigpt_net import Blip2Llama

        return Blip2Llama(parts)

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """Rename; join the attention's query and value biases (its keys have none)."""
        return joined_biases(renamed_entries(sources, self.RULES, ("vision", "qformer", "projection", "language")))


@settings
class MiniGPT5(MiniGPT4):
    """MiniGPT-5: MiniGPT-4 with nine more tokens and a LoRA in Vicuna.

    Where it would draw, all eight tokens for drawing are read and left out of the answer, which goes on; the seven that
    follow the first count towards `max_new_tokens`.
    """

    RULES: ClassVar[Mapping[str, Rules]] = {
        **MiniGPT4.RULES,
        "adapter": (
            (r"(fc|llm_to_t2i_mapping|vae|unet|sd_text_encoder)\..*|t2i_decoder_prompt", None),
            (r".*\.original_module\.weight", None),
            (
                r"model\.llama_model\.base_model\.model\.(.*)\.modules_to_save(\.default)?\.weight",
                r"language_model.\1.weight",
            ),
            (r"model\.llama_model\.base_model\.model\.(.*)", r"language_model.\1"),
        ),
    }
    ALPHA: ClassVar[float] = 16
    # MiniGPT-5's own code resizes so, MiniGPT-4's does not.
    RESAMPLE: ClassVar[Literal["BICUBIC", "BILINEAR"]] = "BILINEAR"

    def sizes(self, sources: Sources) -> dict[str, dict[str, Any]]:
        """The vocabulary is that of the trained embeddings, with the nine tokens."""
        sizes = super().sizes(sources)
        for key, table in renamed(sources.tensors("adapter"), self.RULES["adapter"], "adapter"):
            if key == "language_model.model.embed_tokens.weight":
                sizes["text"]["vocab_size"] = len(table)
        return sizes

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """As MiniGPT-4, with the LoRA merged and the embeddings replaced."""
        changes = renamed(sources.tensors("adapter"), self.RULES["adapter"], "adapter")
        return adapted(super().convert(sources), changes, self.ALPHA)

    def tokenizer(self, sources: Sources) -> Any:
        """Vicuna's tokenizer with the nine tokens."""
        tokenizer = super().tokenizer(sources)
        tokenizer.add_tokens([*DRAWING, IMAGE_HERE], special_tokens=True)
        return tokenizer

    def generating(self, net: Any, inputs: Inputs) -> AbstractContextManager[dict[str, Any]]:
        """Let the tokens for drawing, which stand before the last of the vocabulary, follow each other."""
        from mmsb.model.composed.minigpt_net import Drawing

        last = net.config.text_config.vocab_size - 1
        penalty = float(self.decoding.get("repetition_penalty", 1.0))
        return nullcontext({"logits_processor": [Drawing(range(last - len(DRAWING), last), penalty)]})


@settings
class MiniGPTv2(Composed):
    """MiniGPT-v2 with Llama-2-7b-chat."""

    PATCHES_A_TOKEN: ClassVar[int] = 4

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "vision": {**VIT, "image_size": 448},
        "text": {**LLAMA_7B, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096},
    }
    RULES: ClassVar[Mapping[str, Rules]] = {
        "vision": VIT_RULES,
        "language": LLAMA_RULES,
        "adapter": (
            (r"ln_vision\.(weight|bias)", r"vision_model.post_layernorm.\1"),
            *PROJECTION_RULES,
            (r".*\.rotary_emb\.inv_freq", None),
            (r"llama_model\.base_model\.model\.(.*)", r"language_model.\1"),
        ),
    }
    # Of peft's configuration there; it is not in the checkpoint.
    ALPHA: ClassVar[float] = 16

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """ViT, linear layer over four patches at a time, LLaMA-2."""
        from mmsb.model.composed.minigpt_net import GroupedNet

        return GroupedNet(parts)

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """Rename; join biases, widen the position embedding, merge the LoRA.

        The norm after the ViT was never trained: it is the identity unless the checkpoint holds it.
        """
        changes = dict(renamed(sources.tensors("adapter"), self.RULES["adapter"], "adapter"))
        apart = {key: changes.pop(key) for key in list(changes) if not key.startswith("language_model.")}
        identity = _identity_norm(self.architecture()["vision"]["hidden_size"])
        # First: what the checkpoint has goes over the identity, and neither needs the language model's gigabytes.
        yield from (identity | apart).items()
        weights = joined_biases(renamed_entries(sources, self.RULES, ("vision", "language")))
        yield from adapted(self._widened(weights), changes.items(), self.ALPHA)

    def _widened(self, weights: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        vision = self.architecture()["vision"]
        side = vision["image_size"] // vision["patch_size"]
        for key, tensor in weights:
            yield key, widened(tensor, side) if key.endswith(".position_embedding") else tensor


def _identity_norm(width: int) -> dict[str, Any]:
    import torch

    key = "vision_model.post_layernorm"
    return {f"{key}.weight": torch.ones(width), f"{key}.bias": torch.zeros(width)}


def widened(table: Any, side: int) -> Any:
    """A position embedding [1, 1 + n * n, width] for `side` x `side` patches, by bicubic interpolation."""
    import torch
    from torch.nn.functional import interpolate

    old = round((table.shape[1] - 1) ** 0.5)
    grid = table[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    # In float32 until here: bicubic interpolation in half precision is another embedding.
    patches = grid.permute(0, 2, 3, 1).flatten(1, 2).to(table.dtype)
    return torch.cat([table[:, :1], patches], dim=1)


def joined_biases(weights: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Weights with each pair `q_bias`, `v_bias` made one `qkv.bias` = (q, 0, v), when both have come."""
    import torch

    # Streamed: the two come apart, and keeping all of a ViT-g to find them would take its size once more.
    waiting: dict[str, dict[str, Any]] = {}
    for key, tensor in weights:
        stem, _, last = key.rpartition(".")
        if last not in ("q_bias", "v_bias"):
            yield key, tensor
            continue
        pair = waiting.setdefault(stem, {})
        pair[last] = tensor
        if len(pair) == 2:
            query, value = waiting.pop(stem)["q_bias"], pair["v_bias"]
            yield f"{stem}.qkv.bias", torch.cat([query, torch.zeros_like(query), value])
