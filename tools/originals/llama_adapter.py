"""Record LLaMA-Adapter V2 multimodal (OpenGVLab/LLaMA-Adapter, with openai/CLIP), as its demo.py asks it.

Both published variants are recorded, BIAS and LORA-BIAS. Its sampler is its own: the probabilities it draws from are
recorded, not the draw, which depends on their order.
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest import mock

from tools.originals.common import (
    CHECKOUTS,
    PICTURES,
    QUESTIONS,
    RECORDINGS,
    STEPS,
    Call,
    Recording,
    commit,
    fill,
    picture,
    stub_torchvision,
)

PROJECT = "llama_adapter_v2_multimodal7b"
SIDE, LAYERS, BLOCKS, QUERIES, SCALE = 56, 3, 2, 3, 0.3
PARAMS = {"dim": 32, "multiple_of": 16, "n_heads": 4, "n_layers": LAYERS, "norm_eps": 1e-6, "vocab_size": -1}
SIZES: dict[str, dict[str, Any]] = {  # a head of OpenAI's CLIP is always 64 wide
    "vision": {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 14,
        "projection_dim": 20,
    },
    "reader": {"hidden_size": 16, "num_hidden_layers": BLOCKS, "num_attention_heads": 2, "num_query_tokens": QUERIES},
    "text": {
        "hidden_size": 32,
        "intermediate_size": 96,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 400,
        "adapted_layers": LAYERS - 1,
    },
}


def small_clip(_: str) -> tuple[Any, Any]:
    """OpenAI's CLIP and its transform, in the place of clip.load("ViT-L/14")."""
    from clip.clip import _transform
    from clip.model import CLIP

    size = SIZES["vision"]
    towers = (size["image_size"], size["num_hidden_layers"], size["hidden_size"], size["patch_size"])
    return CLIP(size["projection_dim"], *towers, 8, 16, 64, 1, 1), _transform(SIDE)


def build(folder: Path, lora: bool) -> Any:
    """Their model, small, ready to answer on the CPU in float32."""
    import torch
    from llama.llama_adapter import LLaMA_adapter

    (folder / "params.json").write_text(json.dumps(PARAMS))
    reader = SIZES["reader"]
    model = LLaMA_adapter(
        str(folder),
        str(RECORDINGS / "tokenizers/llama/tokenizer.model"),
        v_embed_dim=reader["hidden_size"],
        v_depth=BLOCKS,
        v_num_heads=reader["num_attention_heads"],
        query_len=QUERIES,
        query_layer=LAYERS - 1,
        w_bias=True,
        w_lora=lora,
        w_new_gate=lora,
    )
    with torch.no_grad():
        fill(model.state_dict(), SCALE)
    return model.eval()


def published(model: Any, lora: bool, folder: Path) -> list[str]:
    """The keys of the published adapter, from the authors' own script; its loops count 8 blocks and 32 layers."""
    import torch
    from util import extract_adapter_from_checkpoint as extract

    counts = {8: BLOCKS, 32: LAYERS}
    extract.range = lambda *bounds: range(*(counts.get(bound, bound) for bound in bounds))
    extract.save(model, folder / "adapter.pth", "LORA" if lora else "BIAS")
    return list(torch.load(folder / "adapter.pth")["model"])


def answer(model: Any, pixels: Any, prompt: str, **given: Any) -> tuple[Call, str]:
    """One answer of theirs, with the logits of each step; greedy unless `given` says otherwise."""
    call, inner = Call(), model.forward_inference

    def spy(query: Any, tokens: Any, start: int) -> Any:
        logits = inner(query, tokens, start)
        call.logits.append(logits[0].clone())
        call.passes.append(tokens.shape[1])
        return logits

    model.forward_inference = spy
    (text,) = model.generate(pixels, [prompt], **({"temperature": 0, "max_gen_len": STEPS} | given))
    model.forward_inference = inner
    call.tokens = [int(logits.argmax()) for logits in call.logits]
    return call, text


def drawn_from(model: Any, pixels: Any, prompt: str) -> Any:
    """The probabilities that the first token is drawn from, falling, with the demo's own temperature and top_p."""
    import torch

    seen, draw = [], torch.multinomial

    def spy(probabilities: Any, **named: Any) -> Any:
        seen.append(probabilities)
        return draw(probabilities, **named)

    defaults = {name: inspect.signature(model.generate).parameters[name].default for name in ("temperature", "top_p")}
    with mock.patch.object(torch, "multinomial", spy):
        answer(model, pixels, prompt, max_gen_len=1, **defaults)
    return seen[0][0]


def main() -> None:
    """Record both variants."""
    import torch
    import transformers  # noqa: F401  # before the stub of ftfy, which it looks for

    torch.set_num_threads(1)
    stub_torchvision()
    sys.path[:0] = [str(CHECKOUTS / "CLIP"), str(CHECKOUTS / "LLaMA-Adapter" / PROJECT)]
    sys.modules["ftfy"] = types.ModuleType("ftfy")  # CLIP cleans texts with it; none are read
    setattr(torch.Tensor, "cuda", lambda self, **_: self)  # noqa: B010
    torch.set_default_tensor_type = lambda _: None
    import clip

    clip.load = small_clip
    for lora in (False, True):
        record(lora, Path(tempfile.mkdtemp()))


def record(lora: bool, folder: Path) -> None:
    """Record one variant."""
    import cv2
    import torch
    from clip.clip import _transform
    from llama.utils import format_prompt
    from PIL import Image

    model = build(folder, lora)
    about = {"repository": "OpenGVLab/LLaMA-Adapter", "commit": commit("LLaMA-Adapter"), "clip": commit("CLIP")}
    recording = Recording("llama_adapter_lora" if lora else "llama_adapter", {**about, "scale": SCALE, "sizes": SIZES})
    recording.about["weights"] = {"model": {key: list(value.shape) for key, value in model.state_dict().items()}}
    recording.about["adapter"] = published(model, lora, folder)
    defaults = inspect.signature(model.generate).parameters
    recording.about["arguments"] = {
        name: defaults[name].default for name in ("max_gen_len", "temperature", "top_p")
    } | {"end": model.tokenizer.eos_id}

    def seen(name: str, transform: Any = model.clip_transform) -> Any:
        picture(name).save(folder / f"{name}.png")
        return transform(Image.fromarray(cv2.imread(str(folder / f"{name}.png")))).unsqueeze(0)

    mean, std = (model.clip_transform.transforms[-1].mean, model.clip_transform.transforms[-1].std)
    for name in PICTURES:
        small, full = (seen(name, transform)[0] for transform in (model.clip_transform, _transform(224)))
        recording.pixels(name, small, full, mean, std)
    for name, question, shown in (
        ("picture", QUESTIONS[0], "typed2"),
        ("long", QUESTIONS[1], "wide"),
        ("marks", QUESTIONS[2], "tall"),
        ("text", QUESTIONS[1], None),
    ):
        pixels = torch.zeros(1, 3, SIDE, SIDE) if shown is None else seen(shown)
        prompt = format_prompt(question)
        call, text = answer(model, pixels, prompt)
        ids = model.tokenizer.encode(prompt, bos=True, eos=False)
        recording.case(name, call, question=question, picture=shown, prompt=prompt, ids=[ids], text=text)
        recording.tensors[f"choices.{name}"] = drawn_from(model, pixels, prompt)
    recording.save()


if __name__ == "__main__":
    main()
