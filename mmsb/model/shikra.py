"""Shikra 7B (Chen et al., 2023): published as a difference to LLaMA, converted here into an ordinary LLaVA checkpoint.

Its projector is one linear layer; LLaVA's is two with an activation between. With no activation and the identity as
second layer the two are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from mmsb.config import settings
from mmsb.convert.rename import Rules, renamed
from mmsb.convert.source import Source, Sources, check_converted, published_config
from mmsb.model.hf import HF

PATCH, START, FINISH = "<im_patch>", "<im_start>", "<im_end>"
PROJECTOR = "model.multi_modal_projector"


@settings
class Shikra(HF):
    """Shikra; `name_or_path` is the LLaVA checkpoint that the conversion makes.

    Attributes:
        source: the published files: the difference, LLaMA, and CLIP.
    """

    source: dict[str, Source] = Field(default_factory=dict)

    def check(self) -> None:
        """Whether the checkpoint is there and fits.

        Raises:
            ModelError: it was not converted yet, or needs more memory than is free.
        """
        check_converted(self.name, self.name_or_path)
        super().check()

    RULES: ClassVar[Mapping[str, Rules]] = {
        "vision": (
            (r"text_model\..*|text_projection\..*|visual_projection\..*|logit_scale|.*\.position_ids", None),
            (r"vision_model\.(.*)", r"model.vision_tower.\1"),
        ),
        "language": (
            (r".*\.rotary_emb\.inv_freq", None),
            (r"model\.mm_projector\.(weight|bias)", rf"{PROJECTOR}.linear_1.\1"),
            (r"model\.(.*)", r"model.language_model.\1"),
            (r"lm_head\.weight", "lm_head.weight"),
        ),
    }

    def convert(self, sources: Sources) -> Iterator[tuple[str, Any]]:
        """CLIP, then LLaMA plus the difference. Rows beyond LLaMA's vocabulary stand in the difference whole."""
        import torch

        yield from renamed(sources.tensors("vision"), self.RULES["vision"], "vision")
        # Held as a whole: the two files have their keys in orders of their own.
        base = dict(renamed(sources.tensors("language"), self.RULES["language"], "language"))
        for key, delta in renamed(sources.tensors("delta"), self.RULES["language"], "delta"):
            if key.startswith(PROJECTOR):
                yield key, delta
                continue
            summed = delta.clone()
            summed[: len(base[key])] += base[key].to(delta.dtype)
            yield key, summed
        width = len(base["model.language_model.norm.weight"])
        yield f"{PROJECTOR}.linear_2.weight", torch.eye(width)
        yield f"{PROJECTOR}.linear_2.bias", torch.zeros(width)

    def shapes(self, sources: Sources) -> dict[str, Any]:
        """The shape of every weight of the LLaVA checkpoint."""
        from accelerate import init_empty_weights
        from transformers import LlavaForConditionalGeneration

        with init_empty_weights(include_buffers=False):
            model = LlavaForConditionalGeneration(self.configuration(sources))
        return {key: tensor.shape for key, tensor in model.state_dict().items()}

    def configuration(self, sources: Sources) -> Any:
        """LLaVA's configuration, from those published beside the language model and CLIP."""
        from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

        vision = published_config(sources.folder("vision"))["vision_config"]
        published = published_config(sources.folder("delta"))
        text = {key: published[key] for key in LlamaConfig().to_dict() if key in published and key in TEXT_SIZES}
        tokenizer = self.tokenizer(sources)  # early LLaMA configurations name wrong tokens for beginning and end
        text |= {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        return LlavaConfig(
            vision_config=CLIPVisionConfig(**{key: vision[key] for key in VISION_SIZES if key in vision}).to_dict(),
            text_config=LlamaConfig(**text).to_dict(),
            projector_hidden_act="linear",
            image_token_id=tokenizer.convert_tokens_to_ids(PATCH),
            # The last layer but one, without the class token: what LLaVA reads, and Shikra's code too.
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
        )

    def tokenizer(self, sources: Sources) -> Any:
        """LLaMA's tokenizer with the three picture tokens, padding with the unknown token."""
        from mmsb.convert.tokenizer import published_tokenizer

        tokenizer = published_tokenizer(sources.folder("delta"))
        tokenizer.add_tokens([PATCH, START, FINISH], special_tokens=True)  # those that are there stay as they are
        tokenizer.pad_token = tokenizer.unk_token
        return tokenizer

    def describe(self, sources: Sources, folder: Path) -> None:
        """Write configuration, tokenizer and image processor as LLaVA's classes read them."""
        from transformers import LlavaProcessor
        from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

        config = self.configuration(sources)
        side, patch = config.vision_config.image_size, config.vision_config.patch_size
        images = LlavaImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        LlavaProcessor(
            image_processor=images,
            tokenizer=self.tokenizer(sources),
            patch_size=patch,
            num_additional_image_tokens=1,
            vision_feature_select_strategy="default",
            image_token=PATCH,
        ).save_pretrained(folder)
        config.architectures = ["LlavaForConditionalGeneration"]
        config.save_pretrained(folder)


VISION_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
    "projection_dim",
    "hidden_act",
    "layer_norm_eps",
)
TEXT_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "max_position_embeddings",
)
