"""Qwen-VL-Chat as its own `chat` runs it: python -m tools.originals.qwen_vl_chat.

The code that the hub publishes beside the weights is in no repository of the authors; a public copy of the hub's
repository is used (github.com/Immerso-AIIP-Ltd/Qwen-VL-Chat, its first commit).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch

from tools.originals.common import CHECKOUTS, PICTURES, QUESTIONS, SEED, Recording, commit, fill, picture
from tools.originals.minigpt import shapes
from tools.originals.spying import spied
from tools.originals.tokens import TOKENS

HOME = CHECKOUTS / "Qwen-VL-Chat"
VISION: dict[str, Any] = {
    "image_size": 56,
    "patch_size": 14,
    "width": 24,
    "layers": 2,
    "heads": 2,
    "mlp_ratio": 40 / 24 + 1e-9,
}
TEXT: dict[str, Any] = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 573}
ANSWERS = ("Sure, here it is.", "é 漢 🙂\nand more ", "one<|im_end|>", "two<|endoftext|>", "")
CASES = {"typed": (0, "typed2"), "tall": (1, "tall"), "grey": (2, "grey"), "words": (1, None)}


def open_package() -> None:
    """Make the hub's files importable as a package; what they would download (a font for drawing boxes) is not used."""
    from tools.originals.common import stub_torchvision

    stub_torchvision()
    os.environ["HF_HUB_OFFLINE"] = "1"
    package = types.ModuleType("qwen_vl")
    package.__path__ = [str(HOME)]
    sys.modules["qwen_vl"] = package
    os.chdir(tempfile.mkdtemp())
    Path("SimSun.ttf").touch()


def build(tokenizer: Any) -> Any:
    """The authors' model with the weights of its keys, its published settings but for the sizes."""
    from qwen_vl.configuration_qwen import QWenConfig
    from qwen_vl.modeling_qwen import QWenLMHeadModel
    from transformers import GenerationConfig

    settings = json.loads((HOME / "config.json").read_text())
    vision = {**VISION, "output_dim": TEXT["hidden_size"], "image_start_id": tokenizer.img_start_id}
    small = {**TEXT, "intermediate_size": 96, "kv_channels": 32, "visual": vision, "fp32": True}
    model = QWenLMHeadModel(QWenConfig(**{**settings, **small})).float().eval()
    fill(model.state_dict(), scale=0.1)
    model.generation_config = GenerationConfig(**json.loads((HOME / "generation_config.json").read_text()))
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = tokenizer.eod_id
    return model


def main() -> None:
    """Record."""
    open_package()
    from qwen_vl.qwen_generation_utils import decode_tokens, make_context
    from qwen_vl.tokenization_qwen import QWenTokenizer

    tokenizer = QWenTokenizer(str(TOKENS / "qwen.tiktoken"))
    model = build(tokenizer)
    vision = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": VISION["image_size"], "num_positions": 256, "num_query_tokens": 256, "resampler_heads": 1}
    recording = Recording("qwen_vl_chat")
    recording.about = {
        "repository": "https://github.com/Immerso-AIIP-Ltd/Qwen-VL-Chat (a copy of huggingface.co/Qwen/Qwen-VL-Chat)",
        "commit": commit("Qwen-VL-Chat"),
        "parts": {"vision": vision, "text": {**TEXT, "num_key_value_heads": 4, "intermediate_size": 48}},
        "files": {"language": shapes(model.state_dict())},
        "scale": 0.1,
        "stop": [],
    }
    transform = model.transformer.visual.image_transform
    full = type(model.transformer.visual)(**{**model.config.visual, "image_size": 448}).image_transform
    normalise = transform.transforms[-1]
    for name in PICTURES:
        recording.pixels(name, transform(picture(name)), full(picture(name)), normalise.mean, normalise.std)
        picture(name).save(f"{name}.png")
    for name, (question, shown) in CASES.items():
        told = [{"image": f"{shown}.png"}] if shown else []
        query = tokenizer.from_list_format([*told, {"text": QUESTIONS[question]}])
        prompt, context = make_context(tokenizer, query, system="You are a helpful assistant.")
        for sampled in (False, True):
            torch.manual_seed(SEED)
            with torch.no_grad(), spied(model, do_sample=sampled) as calls:
                model.chat(tokenizer, query=query, history=None)
            if sampled:
                recording.about["cases"][name]["sampled"] = calls[0].tokens
            else:
                ids = parted(context, tokenizer)
                recording.case(name, calls[0], question=QUESTIONS[question], picture=shown, prompt=prompt, ids=ids)
        # `chat` also ends at these two, by a processor of its own: modeling_qwen.py, get_stop_words_ids
        ends = {tokenizer.eod_id, tokenizer.im_start_id, tokenizer.im_end_id}
        recording.about["arguments"] = calls[0].settings | {"ends": sorted(ends)}
    recording.about["read"] = []
    for text in ANSWERS:
        tokens = tokenizer.encode(text)
        if not ends & set(tokens):
            tokens.append(tokenizer.im_end_id)
        answer = decode_tokens(tokens, tokenizer, raw_text_len=0, context_length=0, chat_format="chatml")
        recording.about["read"].append({"tokens": tokens, "text": answer})
    recording.save()


def parted(ids: list[int], tokenizer: Any) -> list[list[int]]:
    """Token ids up to <img> and from </img>; between them stand the picture's path and padding, 256 in all."""
    if tokenizer.img_start_id not in ids:
        return [ids]
    start, end = ids.index(tokenizer.img_start_id), ids.index(tokenizer.img_end_id)
    assert end - start - 1 == 256
    return [ids[: start + 1], ids[end:]]


if __name__ == "__main__":
    main()
