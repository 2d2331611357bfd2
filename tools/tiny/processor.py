"""The tiny target's tokenizer, chat template and image processor, as a LlavaProcessor."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from tools.tiny import architecture, page, plan, wording, words

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{% set before, after = '', '\\n' %}"
    "{% elif message.role == 'user' %}{% set before, after = 'USER: ', '' %}"
    "{% else %}{% set before, after = ' ASSISTANT: ', eos_token %}{% endif %}"
    "{{ before }}"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}"
    "{% endif %}{{ after }}"
    "{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def texts() -> Iterator[str]:
    """What the byte-level BPE is trained on: all wordings, the embedded questions, and many phrases."""
    rng = random.Random(7)
    fixed = [
        *wording.SAFETY_PROMPTS,
        *wording.SYSTEM_PROMPTS,
        *wording.TRANSCRIBE,
        *wording.CAPTION,
        *wording.CHECKS,
        *wording.CAPTIONED,
        "USER: \n ASSISTANT:",
        wording.REPETITIVE,
    ]
    for _ in range(20):
        yield from fixed
    for case in plan.cases():
        yield f"{case.text} {case.answer}"
    for _ in range(6000):
        yield " " + words.phrase(rng)


def tokenizer() -> Any:
    """A byte-level BPE of architecture.VOCABULARY tokens with left padding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=architecture.VOCABULARY,
        special_tokens=["<pad>", "</s>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        eos_token="</s>",
        padding_side="left",
        model_max_length=2048,
        extra_special_tokens={"image_token": "<image>"},
        clean_up_tokenization_spaces=False,
    )


def processor() -> Any:
    """Pictures are padded white to a square, resized, and normalised so that white is 0."""
    from transformers import LlavaProcessor
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    images = LlavaImageProcessorPil(
        do_pad=True,
        size={"height": page.SIDE, "width": page.SIDE},
        do_center_crop=False,
        crop_size={"height": page.SIDE, "width": page.SIDE},
        image_mean=[architecture.MEAN] * 3,
        image_std=[architecture.STD] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer(),
        patch_size=page.PATCH,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
    )
