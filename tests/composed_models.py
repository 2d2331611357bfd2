"""Tiny versions of composed models: their sizes, random published files, and the prompts they are asked.

A model of `mmsb.model.composed` adds its class name to TINY; then every test over all presets covers it.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import sentencepiece
import torch

from mmsb.config import build
from mmsb.model.composed.base import Composed
from tests.asking import Named, named

LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 400,
}
EVA = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
}
QFORMER = {
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "encoder_hidden_size": 24,
    "num_query_tokens": 4,
}
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
CLIP = {**LAYERS, "hidden_size": 24, "intermediate_size": 40, "image_size": 56, "patch_size": 14}
TINY: dict[str, dict[str, dict[str, Any]]] = {
    "MiniGPT4": {"vision": EVA, "qformer": QFORMER, "text": LLAMA},
    "MiniGPT5": {"vision": EVA, "qformer": QFORMER, "text": {**LLAMA, "vocab_size": 409}},
    "MiniGPTv2": {"vision": EVA, "text": LLAMA},
    "MplugOwl": {
        "vision": CLIP,
        "abstractor": {**LAYERS, "hidden_size": 24, "intermediate_size": 20, "num_query_tokens": 3},
        "text": LLAMA,
    },
    "LlamaAdapter": {
        "vision": {**CLIP, "projection_dim": 20},
        "reader": {**LAYERS, "hidden_size": 16, "num_query_tokens": 3},
        "text": {**LLAMA, "num_hidden_layers": 3, "adapted_layers": 2},
    },
    "Otter": {
        "vision": CLIP,
        "perceiver": {**LAYERS, "head_dim": 8, "num_latents": 5},
        "text": {
            "vocab_size": 404,
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 4,
            "max_seq_len": 512,
            "cross_attn_every_n_layers": 2,
            "media_token_id": 401,
        },
    },
    "CogVLM": {"vision": EVA, "text": LLAMA},
    "QwenVL": {
        "vision": {**EVA, "num_positions": 4, "num_query_tokens": 9, "resampler_heads": 4},
        "text": {**LLAMA, "vocab_size": 600},
    },
}
SENTENCES = [
    "Give the following image. You will be able to see the image once I provide it to you.",
    "Human: the image shows a phrase of an activity. List the steps in detail. Assistant: Sure, here it is.",
    "A chat between a curious user and an artificial intelligence assistant. USER: what is this? ASSISTANT: text",
]


class Published:
    """Random published files held in memory, in place of those on disk."""

    def __init__(self, states: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
        self.states = states
        self.place = folder

    def weights(self, entry: str) -> Mapping[str, Any]:
        return self.states[entry]

    def tensors(self, entry: str) -> Iterator[tuple[str, Any]]:
        yield from self.states[entry].items()

    def folder(self, entry: str) -> Path:
        return self.place


@cache
def sentencepiece_model() -> bytes:
    """A SentencePiece BPE model of 400 pieces with byte fallback, made as LLaMA's was."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=made,
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return made.getvalue()


def tokenizer_folder(folder: Path) -> Path:
    """A folder that holds tokenizer.model and qwen.tiktoken."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(sentencepiece_model())
    (folder / "qwen.tiktoken").write_bytes(tiktoken_ranks())
    return folder


@cache
def tiktoken_ranks() -> bytes:
    """Ranks as tiktoken publishes them: all bytes, then pairs merged where they stand most often."""
    words = [[bytes([byte]) for byte in f" {word}".encode()] for text in SENTENCES for word in text.split()]
    tokens = [bytes([byte]) for byte in range(256)]
    for _ in range(100):
        pairs = Counter(pair for word in words for pair in pairwise(word))
        (left, right), _ = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        tokens.append(left + right)
        for word in words:
            for at in range(len(word) - 2, -1, -1):
                if word[at : at + 2] == [left, right]:
                    word[at : at + 2] = [left + right]
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


def random_state(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of these shapes: norms around one, the rest around zero."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=generator) * 0.25
        scales = ("norm" in key.lower() or "ln_" in key) and key.endswith("weight")
        state[key] = noise + 1 if scales else noise
    return state


def save_tiny(model: Composed, folder: Path) -> None:
    """A random checkpoint of `model` (its `parts` are tiny already), as the conversion writes it."""
    import json

    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = model.build(model.architecture())
    state = random_state({key: tuple(tensor.shape) for key, tensor in net.state_dict().items()})
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model-00001.safetensors")
    source = Published({}, tokenizer_folder(folder / "published"))
    model.tokenizer(source).save_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps({"mmsb_model": type(model).__name__, "parts": model.architecture()}))


def preset(name: str, **settings: Any) -> Any:
    """The model of conf/model/`name`.yaml, with changed settings."""
    return dataclasses.replace(built(name), **settings)


@cache
def built(name: str) -> Any:
    """The model of conf/model/`name`.yaml."""
    from hydra import compose, initialize_config_dir

    from mmsb.model.base import Engine
    from mmsb.paths import conf_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return build(compose(f"model/{name}").model, Engine)  # type: ignore[type-abstract]


@cache
def eight_prompts() -> tuple[Named, ...]:
    """Two demo questions in the four image modes, of different lengths."""
    from hydra import compose, initialize_config_dir

    from mmsb.experiment import Experiment
    from mmsb.paths import conf_dir

    found: list[Named] = []
    for mode in ("text_only", "sd", "typo", "sd_typo"):
        overrides = [f"image_mode={mode}", "scenario=fraud", "dataset.limit=2", "tracker=none", "model=hf"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("config", [*overrides, "model.name_or_path=x"])
        samples = build(config, Experiment).samples()
        found += [named(sample.id, sample.prompt.text, sample.prompt.image) for sample in samples]
    return tuple(found)
