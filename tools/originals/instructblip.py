"""Record InstructBLIP (salesforce/LAVIS): Blip2VicunaInstruct.generate with its own defaults, on a small Vicuna.

The language model's folder holds what lmsys publishes beside Vicuna v1.1: 1 begins, 2 ends, 0 pads.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from tools.originals.common import (
    CHECKOUTS,
    PICTURES,
    QUESTIONS,
    RECORDINGS,
    Recording,
    commit,
    fill,
    picture,
    stub_torchvision,
)
from tools.originals.eva import small_vit
from tools.originals.spying import spied

SIDE, SCALE, QUERIES = 56, 0.3, 4
VISION = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
QFORMER = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
}
VICUNA = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LONG = "the steps " * 150  # more than the 128 words that the Q-Former reads: the first are left out
CHECKPOINTING = "fairscale.nn.checkpoint.checkpoint_activations"
GREEDY = {"num_beams": 1, "repetition_penalty": 1.0}


def open_package() -> None:
    """Make LAVIS' parts importable without its own __init__ files, which want every data set's library."""
    stub_torchvision()
    for name in ("lavis", "lavis.models", "lavis.common", "lavis.processors", "lavis.models.blip2_models"):
        package = types.ModuleType(name)
        package.__path__ = [str(CHECKOUTS / "LAVIS" / name.replace(".", "/"))]
        sys.modules[name] = package
    for name in ("pandas", "fairscale", "fairscale.nn", "fairscale.nn.checkpoint", CHECKPOINTING):
        sys.modules[name] = types.ModuleType(name)  # for data sets and training
        sys.modules[name].__spec__ = ModuleSpec(name, None)
    sys.modules[CHECKPOINTING].checkpoint_wrapper = None  # type: ignore[attr-defined]
    from lavis.models.base_model import BaseModel
    from lavis.processors.base_processor import BaseProcessor

    sys.modules["lavis.models"].BaseModel = BaseModel  # type: ignore[attr-defined]
    sys.modules["lavis.processors"].BaseProcessor = BaseProcessor  # type: ignore[attr-defined]


def small_eva(image_size: int, *_: Any) -> Any:
    """Their ViT as `create_eva_vit_g` builds it, at small sizes and in float32."""
    from lavis.models.eva_vit import VisionTransformer

    return small_vit(VisionTransformer, VISION, image_size)


def vicuna() -> Path:
    """A small Vicuna as a folder."""
    from lavis.models.blip2_models.modeling_llama import LlamaForCausalLM
    from transformers import GenerationConfig, LlamaConfig

    folder = Path(tempfile.mkdtemp())
    model = LlamaForCausalLM(LlamaConfig(**TEXT, **VICUNA))
    model.generation_config = GenerationConfig(**VICUNA)
    model.save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes((RECORDINGS / "tokenizers/llama/tokenizer.model").read_bytes())
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "clean_up_tokenization_spaces": False}))
    return folder


def build() -> Any:
    """Their model, small."""
    from lavis.models.blip2_models import blip2, modeling_llama
    from lavis.models.blip2_models.blip2_vicuna_instruct import Blip2VicunaInstruct
    from transformers import BertTokenizer

    words = BertTokenizer.from_pretrained
    blip2.create_eva_vit_g = small_eva
    BertTokenizer.from_pretrained = lambda _, **named: words(RECORDINGS / "tokenizers" / "bert", **named)
    blip2.BertConfig.from_pretrained = lambda _, kind=blip2.BertConfig: kind(**QFORMER, vocab_size=80)
    blip2.BertLMHeadModel.from_pretrained = lambda _, config, kind=blip2.BertLMHeadModel: kind(config)
    inner = modeling_llama.LlamaForCausalLM.from_pretrained
    modeling_llama.LlamaForCausalLM.from_pretrained = lambda path, **_: inner(path)
    model = Blip2VicunaInstruct(img_size=SIDE, vit_precision="fp32", num_query_token=QUERIES, llm_model=str(vicuna()))
    fill(model.state_dict(), SCALE)
    return model.float().eval()


def hub_tokenizers() -> None:
    """The tokenizers of Salesforce's checkpoints on the hub, with the settings published there.

    As transformers' convert_instructblip_original_to_pytorch.py makes them, with the hub's later <image> and <video>.
    """
    from transformers import BertTokenizer, LlamaTokenizerFast

    folder = RECORDINGS / "tokenizers" / "instructblip"
    words = LlamaTokenizerFast.from_pretrained(vicuna(), truncation_side="left", legacy=True)
    words.add_special_tokens({"pad_token": "[PAD]"})
    words.add_special_tokens({"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"})
    words.add_tokens(["<image>", "<video>"], special_tokens=True)
    words.save_pretrained(folder)
    end: dict[str, Any] = {"__type": "AddedToken", "content": "</s>", "normalized": True}
    end |= {"lstrip": False, "rstrip": False, "single_word": False}
    settings: dict[str, Any] = {
        "bos_token": "</s>",
        "eos_token": end,
        "unk_token": "</s>",
        "pad_token": None,
        "sp_model_kwargs": {},
    }
    settings |= {"clean_up_tokenization_spaces": False, "model_max_length": 2048, "truncation_side": "left"}
    settings |= {"processor_class": "InstructBlipProcessor", "tokenizer_class": "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    reader = BertTokenizer(RECORDINGS / "tokenizers/bert/vocab.txt", truncation_side="left")
    reader.add_special_tokens({"bos_token": "[DEC]"})
    reader.save_pretrained(folder / "qformer_tokenizer")


def main() -> None:
    """Record state, pixels and answers."""
    import torch

    torch.set_num_threads(1)
    open_package()
    hub_tokenizers()
    model = build()
    from lavis.processors.blip_processors import BlipImageEvalProcessor

    processor = BlipImageEvalProcessor(image_size=SIDE)
    about = {"repository": "salesforce/LAVIS", "commit": commit("LAVIS"), "scale": SCALE}
    sizes = {"vision": {**VISION, "image_size": SIDE}, "qformer": QFORMER, "text": TEXT, "queries": QUERIES}
    recording = Recording("instructblip", {**about, "sizes": sizes, "words": len(model.tokenizer)})
    recording.about["weights"] = {"model": {key: list(value.shape) for key, value in model.state_dict().items()}}
    for name in PICTURES:
        small, full = (images(picture(name)) for images in (processor, BlipImageEvalProcessor(image_size=224)))
        recording.pixels(name, small, full, processor.normalize.mean, processor.normalize.std)
    for name, question, shown, instead in (
        ("picture", QUESTIONS[0], "typed2", GREEDY),
        ("steps", QUESTIONS[1], "wide", GREEDY),
        ("marks", QUESTIONS[2], "tall", GREEDY),
        ("long", LONG, "tall", GREEDY),
        ("beams", QUESTIONS[1], "typed1", {}),
    ):
        with spied(model.llm_model, **instead) as calls:
            (text,) = model.generate({"image": processor(picture(shown)).unsqueeze(0), "prompt": question})
        (call,) = calls
        recording.case(
            name,
            call,
            question=question,
            picture=shown,
            prompt=question,
            ids=model.llm_tokenizer(question).input_ids,
            read=model.tokenizer(question, truncation=True, max_length=model.max_txt_len).input_ids,
            settings=call.settings,
            text=text,
        )
    recording.save()


if __name__ == "__main__":
    main()
