"""What MiniGPT-4 and MiniGPT-v2 share: their authors' package, built small, with weights made from the keys."""

from __future__ import annotations

import os
import sys
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.originals.common import CHECKOUTS, fill, stub_torchvision
from tools.originals.eva import small_vit
from tools.originals.tokens import llama_folder

EVA = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION: dict[str, Any] = {**EVA, "image_size": 56}
QFORMER = {
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "encoder_hidden_size": 24,
    "num_query_tokens": 4,
}
LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 420,
}


def open_package(checkout: str) -> None:
    """Make `minigpt4` importable without its own __init__, which wants every data set's library."""
    stub_torchvision()
    os.environ["HF_HUB_OFFLINE"] = "1"
    package = types.ModuleType("minigpt4")
    package.__path__ = [str(CHECKOUTS / checkout / "minigpt4")]
    sys.modules["minigpt4"] = package
    for name in ("datasets.builders", "runners", "tasks"):  # imported for what they register, which is not used here
        sys.modules[f"minigpt4.{name}"] = types.ModuleType(name)
    sys.path.insert(0, str(CHECKOUTS / checkout))


def small_eva(image_size: int, *_: Any, **__: Any) -> Any:
    """The authors' ViT as `create_eva_vit_g` builds it, at small sizes and in float32."""
    from minigpt4.models.eva_vit import VisionTransformer

    return small_vit(VisionTransformer, VISION, image_size)


def small_bert(*_: Any, **__: Any) -> Any:
    """bert-base-uncased's configuration at small sizes."""
    from transformers import BertConfig

    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return BertConfig(vocab_size=30, **{name: QFORMER[name] for name in names})


def llama_checkpoint(sizes: Mapping[str, Any], **config: Any) -> Path:
    """A folder with a LLaMA of transformers, its tokenizer and the weights of its keys, as the hub holds one."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = llama_folder(Path(tempfile.mkdtemp()))
    model = LlamaForCausalLM(LlamaConfig(**sizes, **config, bos_token_id=1, eos_token_id=2, pad_token_id=0))
    fill(model.state_dict())
    model.save_pretrained(folder)
    return folder


def in_float32(kind: Any) -> Any:
    """A model class whose `from_pretrained` loads float32: half precision would round its table of rotations."""
    inner = kind.from_pretrained
    kind.from_pretrained = lambda path, **settings: inner(path, **{**settings, "torch_dtype": None})
    return kind


def shapes(state: Mapping[str, Any], strip: str = "") -> dict[str, list[int]]:
    """Key and shape of every published weight."""
    return {key.removeprefix(strip): list(tensor.shape) for key, tensor in state.items()}
