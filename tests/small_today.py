"""Random checkpoints of a few thousand weights of today's families whose processors work without torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.small_families import LLAMA, randomized
from tests.small_llava import TEMPLATE

VISION: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}


def words(*further: str, **named: str) -> Any:
    """The small tokenizer with the special tokens of a family."""
    from transformers import PreTrainedTokenizerFast

    from tests.small_llava import tokenizer

    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer().backend_tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=named,
    )
    made.add_tokens(list(further), special_tokens=True)
    return made


def save_small_llava_next(folder: Path) -> Path:
    """LLaVA-NeXT: a picture in several tiles."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextProcessor,
    )
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    tokens = words(image_token="<image>")
    tiles = [[56, 112], [112, 56], [112, 112]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**VISION).to_dict(),
        text_config=LlamaConfig(vocab_size=len(tokens), **LLAMA).to_dict(),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=tiles,
    )
    randomized(LlavaNextForConditionalGeneration(config)).save_pretrained(folder)
    side = {"height": 56, "width": 56}
    LlavaNextProcessor(
        LlavaNextImageProcessorPil(size={"shortest_edge": 56}, crop_size=side, image_grid_pinpoints=tiles),
        tokens,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def _gemma3(kind: Any, tokens: Any, **further: Any) -> Any:
    """A configuration of Gemma 3, or of what is built on it, with few and small layers."""
    from transformers import Gemma3TextConfig, SiglipVisionConfig

    text = Gemma3TextConfig(vocab_size=len(tokens), head_dim=8, sliding_window=512, **LLAMA)
    return kind(
        text_config=text.to_dict(),
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False).to_dict(),
        mm_tokens_per_image=4,
        boi_token_index=tokens.convert_tokens_to_ids("<boi>"),
        eoi_token_index=tokens.convert_tokens_to_ids("<eoi>"),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        **further,
    )


def save_small_gemma3(folder: Path) -> Path:
    """Gemma 3: one square picture, pooled into a few tokens."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3Processor,
    )
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    tokens = words(boi_token="<boi>", eoi_token="<eoi>", image_token="<image>")
    config = _gemma3(Gemma3Config, tokens)
    randomized(Gemma3ForConditionalGeneration(config)).save_pretrained(folder)
    images = Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    template = TEMPLATE.replace("<image>\n", "<boi>")
    Gemma3Processor(images, tokens, chat_template=template, image_seq_length=4).save_pretrained(folder)
    return folder


def save_small_mllama(folder: Path) -> Path:
    """Llama 3.2 Vision: the picture is seen through cross-attention."""
    from transformers import MllamaConfig, MllamaForConditionalGeneration, MllamaProcessor
    from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig
    from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

    tokens = words("<|python_tag|>", image_token="<|image|>")
    image_id = tokens.convert_tokens_to_ids("<|image|>")
    vision = MllamaVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_global_layers=1,
        attention_heads=2,
        image_size=56,
        patch_size=14,
        max_num_tiles=4,
        vision_output_dim=32,
        intermediate_layers_indices=[0],
    )
    text = MllamaTextConfig(vocab_size=len(tokens), cross_attention_layers=[1], **LLAMA)
    config = MllamaConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), image_token_index=image_id)
    randomized(MllamaForConditionalGeneration(config)).save_pretrained(folder)
    images = MllamaImageProcessorPil(size={"height": 56, "width": 56}, max_image_tiles=4)
    template = TEMPLATE.replace("<image>\n", "<|image|>")
    MllamaProcessor(images, tokens, chat_template=template).save_pretrained(folder)
    return folder


def save_small_idefics3(folder: Path) -> Path:
    """Idefics3: a picture in tiles, each a few tokens."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor, LlamaConfig
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    places = [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
    tokens = words("<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *places)
    config = Idefics3Config(
        vision_config=VISION,
        text_config=LlamaConfig(vocab_size=len(tokens), **LLAMA).to_dict(),
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    randomized(Idefics3ForConditionalGeneration(config)).save_pretrained(folder)
    images = Idefics3ImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    template = TEMPLATE.replace("<image>\n", "<image>")
    Idefics3Processor(images, tokens, image_seq_len=4, chat_template=template).save_pretrained(folder)
    return folder


def save_small_shieldgemma2(folder: Path) -> Path:
    """ShieldGemma 2: Gemma 3, of which two words' logits are read; its template turns a policy into a question."""
    from transformers import (
        ShieldGemma2Config,
        ShieldGemma2ForImageClassification,
        ShieldGemma2Processor,
    )
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    tokens = words(boi_token="<boi>", eoi_token="<eoi>", image_token="<image>")
    config = _gemma3(ShieldGemma2Config, tokens, yes_token_index=5, no_token_index=6)
    randomized(ShieldGemma2ForImageClassification(config)).save_pretrained(folder)
    images = Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    template = TEMPLATE.replace("<image>\n", "<boi>")
    ShieldGemma2Processor(images, tokens, chat_template=template, image_seq_length=4).save_pretrained(folder)
    return folder
