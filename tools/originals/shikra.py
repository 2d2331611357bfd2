"""Record Shikra (shikras/shikra): its loading, its conversation and its model, put together as its web demo does.

Decoding as in its evaluation: config/shikra_eval_multi_pope.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tools.originals.common import CHECKOUTS, PICTURES, QUESTIONS, RECORDINGS, Recording, commit, fill, picture
from tools.originals.llava import vision_tower
from tools.originals.spying import spied

TEXT: dict[str, Any] = {
    "vocab_size": 403,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SIDE, WIDTH, PATCHES, SCALE = 56, 24, 16, 0.4
ADDED = {"<im_patch>": 400, "<im_start>": 401, "<im_end>": 402}


class Registry:
    """In the place of mmengine's: it names classes for configuration files, which are not read here."""

    def __init__(self, *_: Any) -> None:
        """Nothing is kept."""

    def register_module(self, *_: Any, **__: Any) -> Any:
        """Give a class back as it is."""
        return lambda kind: kind


def open_package() -> None:
    """Make the parts of `mllm` importable without the packages' own __init__ files, which want every data set."""
    names = ("mllm", "mllm.dataset", "mllm.dataset.utils", "mllm.models", "mllm.models.builder", "mllm.utils")
    for name in (*names, "mmengine"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(CHECKOUTS / "shikra" / name.replace(".", "/"))]
    for name in ("DATASETS", "TRANSFORMS", "METRICS", "FUNCTIONS"):
        setattr(sys.modules["mmengine"], name, Registry())
    sys.modules["mmengine"].Registry = Registry  # type: ignore[attr-defined]
    sys.modules["mllm.utils"].post_process_generate_ids = None  # type: ignore[attr-defined]  # for logs
    sys.modules["mllm.utils"].smart_tokenizer_and_embedding_resize = None  # type: ignore[attr-defined]  # for boxes


def build(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Their model and preprocessor, small, through their own loading."""
    import torch
    from mllm.models.builder.build_shikra import load_pretrained_shikra
    from mllm.models.shikra import ShikraConfig, ShikraLlamaForCausalLM, shikra

    zeros = torch.zeros
    shikra.torch = SimpleNamespace(**{**vars(torch), "zeros": lambda *size, **named: zeros(size[0], WIDTH, **named)})
    config = ShikraConfig(**TEXT, use_mm_proj=True, mm_hidden_size=WIDTH)
    ShikraLlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes((RECORDINGS / "tokenizers/llama/tokenizer.model").read_bytes())
    (folder / "added_tokens.json").write_text(json.dumps(ADDED))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    given: dict[str, Any] = {
        "model_name_or_path": str(folder),
        "cache_dir": None,
        "freeze_backbone": False,
        "version": "v1",
    }
    given |= {"model_max_length": 2048, "vision_tower": str(vision_tower(folder / "clip")), "image_token_len": PATCHES}
    given |= {"mm_vision_select_layer": -2, "pretrain_mm_mlp_adapter": None, "tune_mm_mlp_adapter": False}
    given |= {"freeze_mm_mlp_adapter": False, "mm_use_im_start_end": True, "sep_image_conv_front": False}
    training = SimpleNamespace(fp16=False, bf16=False, device="cpu", fsdp=None)
    model, preprocessor = load_pretrained_shikra(SimpleNamespace(**given), training)
    fill(model.state_dict(), SCALE)
    fill(model.model.vision_tower[0].state_dict(), SCALE)
    return model.float().eval(), preprocessor


def main() -> None:
    """Record state, pixels and answers."""
    import torch

    torch.set_num_threads(1)
    open_package()
    model, preprocessor = build(Path(tempfile.mkdtemp()))
    setattr(torch.Tensor, "cuda", lambda self, **_: self)  # noqa: B010
    from mllm.conversation import get_conv_template
    from mllm.dataset.process_function.box_process_function import BoxFormatProcess, PlainBoxFormatter
    from mllm.dataset.process_function.shikra_process_function import (
        ShikraConvProcess,
        ShikraImageProcessor,
        ShikraTextProcess,
    )
    from mllm.dataset.single_image_interactive import SingleImageInteractive
    from mllm.dataset.utils.transform import Expand2square
    from transformers import CLIPImageProcessor

    preprocessor["target"] = {"boxes": PlainBoxFormatter()}
    tokenizer = preprocessor["text"]
    functions = {"conv": ShikraConvProcess(), "target": BoxFormatProcess(), "text": ShikraTextProcess()}
    functions["image"] = ShikraImageProcessor()

    def inputs(question: str, shown: str | None) -> dict[str, Any]:
        asked = SingleImageInteractive(
            preprocessor=preprocessor,
            process_func=functions,
            conv_template=lambda: get_conv_template("vicuna_v1.1"),
            mode="test",
            tokenize_kwargs={"truncation_size": None},
            transforms=Expand2square(),
        )
        if shown is not None:
            asked.set_image(picture(shown))
        asked.append_message(role=asked.roles[0], message=question, boxes=[], boxes_seq=[])
        made: dict[str, Any] = asked.to_model_input()
        return made

    about = {"repository": "shikras/shikra", "commit": commit("shikra"), "scale": SCALE, "text": TEXT}
    tower = model.model.vision_tower[0]
    recording = Recording("shikra", {**about, "vision": tower.config.to_dict()})
    held = {"model": model.state_dict(), "vision": tower.state_dict()}
    recording.about["weights"] = {
        entry: {key: list(value.shape) for key, value in state.items()} for entry, state in held.items()
    }
    processor = preprocessor["image"]
    for name in PICTURES:
        small = inputs("", name)["images"][0]
        preprocessor["image"] = CLIPImageProcessor()
        full = inputs("", name)["images"][0]
        preprocessor["image"] = processor
        recording.pixels(name, small, full, processor.image_mean, processor.image_std)
    ends = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    for name, question, shown in (
        ("picture", QUESTIONS[0], "typed2"),
        ("long", QUESTIONS[1], "wide"),
        ("marks", QUESTIONS[2], "tall"),
        ("text", QUESTIONS[1], None),
    ):
        given = inputs(question, shown)
        with spied(model) as calls:
            model.generate(**given, use_cache=True, **ends, max_new_tokens=1024, num_beams=1)
        (call,) = calls
        ids = given["input_ids"][0].tolist()
        prompt = tokenizer.decode(ids)
        recording.case(name, call, question=question, picture=shown, prompt=prompt, ids=ids, settings=call.settings)
    recording.save()


if __name__ == "__main__":
    main()
