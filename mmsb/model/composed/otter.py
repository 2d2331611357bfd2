"""Otter (Li et al., 2023), OTTER-Image-MPT7B: a Flamingo on MPT-7B.

CLIP's patches are read into 64 tokens, to which a gated cross-attention before every fourth layer attends. `<image>`
is a token of the text, not a gap in it, and every token after it attends to the image, generated ones too: the
published configuration turns the cache off, so that each pass of the authors' code holds `<image>`. Here the cache is
on, which gives the same numbers sooner. A prompt without an image is shown a black one, as in their demo. The centre
crop of their code cuts off what stands at a picture's edges: text typed below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from PIL import Image

from mmsb.config import settings
from mmsb.convert.rename import Rules
from mmsb.convert.source import Sources
from mmsb.model.composed.base import Composed
from mmsb.model.composed.batch import Encoded, Inputs, Loaded
from mmsb.model.composed.sizes import CLIP_L
from mmsb.types import Prompt

PERCEIVER = {"num_hidden_layers": 6, "num_attention_heads": 8, "head_dim": 64, "num_latents": 64}
MPT_7B = {
    "vocab_size": 50432,
    "d_model": 4096,
    "n_heads": 32,
    "n_layers": 32,
    "max_seq_len": 2048,
    "cross_attn_every_n_layers": 4,
    "media_token_id": 50278,
}
ADDED = ("<|endofchunk|>", "<image>", "<answer>", "<PAD>")  # in this order, from 50277 on
BLOCK = r"lang_encoder\.transformer\.blocks\.(\d+)"
OTTER_RULES: Rules = (
    (r"vision_encoder\.vision_model\.embeddings\.position_ids", None),
    (r"vision_encoder\.vision_model\.(.*)", r"vision_model.\1"),
    (r"perceiver\.(latents|norm\.\w+)", r"perceiver.\1"),
    (r"perceiver\.layers\.(\d+)\.((?:norm_media|norm_latents|to_q|to_kv|to_out)\.\w+)", r"perceiver.layers.\1.\2"),
    (r"perceiver\.layers\.(\d+)\.feed_forward\.([013]\.\w+)", r"perceiver.layers.\1.mlp.\2"),
    (rf"{BLOCK}\.gated_cross_attn_layer\.(attn_gate|ff_gate)", r"crossing.\1.\2"),
    (rf"{BLOCK}\.gated_cross_attn_layer\.attn\.((?:norm|to_q|to_kv|to_out)\.\w+)", r"crossing.\1.\2"),
    (rf"{BLOCK}\.gated_cross_attn_layer\.feed_forward\.([013]\.\w+)", r"crossing.\1.mlp.\2"),
    (rf"{BLOCK}\.decoder_layer\.(.*)", r"language_model.transformer.blocks.\1.\2"),
    (r"lang_encoder\.(transformer\.(?:wte|norm_f)\.weight)", r"language_model.\1"),
)


@settings
class Otter(Composed):
    """Otter on MPT-7B; `parts.text` also holds how often cross-attention comes and which token is `<image>`."""

    PARTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"vision": CLIP_L, "perceiver": PERCEIVER, "text": MPT_7B}
    RULES: ClassVar[Mapping[str, Rules]] = {"model": OTTER_RULES}
    MAY_MISS: ClassVar[tuple[str, ...]] = (r"language_model\.lm_head\.weight",)

    def build(self, parts: Mapping[str, Mapping[str, Any]]) -> Any:
        """CLIP, perceiver, MPT with cross-attention before some layers."""
        from mmsb.model.composed.otter_net import OtterNet

        return OtterNet(parts)

    def sizes(self, sources: Sources) -> dict[str, dict[str, Any]]:
        """The image's token is the one that the tokenizer holds."""
        sizes = super().sizes(sources)
        sizes["text"]["media_token_id"] = self.tokenizer(sources).convert_tokens_to_ids(ADDED[1])
        return sizes

    def tokenizer(self, sources: Sources) -> Any:
        """MPT's tokenizer with Otter's four tokens."""
        from transformers import AddedToken

        tokenizer = super().tokenizer(sources)
        # The order gives the ids, which the embeddings were trained for.
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in ADDED])
        tokenizer.pad_token = ADDED[-1]
        return tokenizer

    def load(self) -> Loaded:
        """Load the converted checkpoint; answers are read as their release of transformers did: "it ." is "it.".

        Raises:
            ModelError: keys that do not match; says which.
        """
        loaded = super().load()
        # transformers 5 no longer cleans up by default, and asks for a second flag where the tokenizer is byte-level
        # BPE.
        loaded.tokenizer.clean_up_tokenization_spaces = True
        loaded.tokenizer.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
        return loaded

    def inputs(self, loaded: Loaded, batch: Sequence[Prompt]) -> Encoded:
        """Encode a batch; each row has a picture."""
        side = int(loaded.parts["vision"]["image_size"])
        black = Image.new("RGB", (side, side))
        # A picture in every row, so that prompts without one need no path of their own.
        pictures = [black if prompt.image is None else prompt.image.load() for prompt in batch]
        segments = [self.segments(loaded.tokenizer, prompt) for prompt in batch]
        return Encoded(segments, self.pixels(pictures, side), tuple(range(len(batch))))

    def generating(self, net: Any, inputs: Inputs) -> AbstractContextManager[dict[str, Any]]:
        """Give the cross-attention each row's image; ids too, since repeated n-grams count from the prompt on."""
        return net.shown(inputs)  # type: ignore[no-any-return]
