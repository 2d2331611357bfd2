"""Record LLaVA-1.5 (haotian-liu/LLaVA): its model and its evaluation scripts, as scripts/v1_5/eval/mmvet.sh calls them.

Needs transformers 4.37.2, which its pyproject.toml pins. A question without a picture goes through the script for
ScienceQA, the only one that takes such.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

from tools.originals.common import CHECKOUTS, PICTURES, QUESTIONS, RECORDINGS, Recording, commit, fill, picture
from tools.originals.spying import spied

VISION: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
    "projection_dim": 20,
}
TEXT: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
}
MULTIMODAL = {  # as in the published config.json
    "mm_hidden_size": VISION["hidden_size"],
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "mm_patch_merge_type": "flat",
    "mm_use_im_start_end": False,
    "mm_use_im_patch_token": False,
    "image_aspect_ratio": "pad",
    "tokenizer_padding_side": "right",
    "tokenizer_model_max_length": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "use_cache": True,
}
TOKENIZER = {  # as in the published tokenizer_config.json
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<unk>",
    "legacy": False,
    "clean_up_tokenization_spaces": False,
    "padding_side": "right",
    "tokenizer_class": "LlamaTokenizer",
}
SCALE = 0.4
SPACED = ("Well , it is n't . Do n't { 'a' : 1 } !", "é 漢 🙂\n  two  blanks")


def vision_tower(folder: Path) -> Path:
    """A small openai/clip-vit-large-patch14-336 with its image processor."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    model = CLIPVisionModel(CLIPVisionConfig(**VISION))
    fill(model.state_dict(), SCALE)
    model.save_pretrained(folder)
    side = VISION["image_size"]
    CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def build(folder: Path) -> tuple[Any, Any, Any]:
    """Their tokenizer, model and image processor, small."""
    import torch
    from llava.model.language_model.llava_llama import LlavaConfig, LlavaLlamaForCausalLM
    from transformers import AutoTokenizer

    tower = vision_tower(folder / "clip-vit-large-patch14-336")
    model = LlavaLlamaForCausalLM(LlavaConfig(**TEXT, **MULTIMODAL, mm_vision_tower=str(tower)))
    model.get_vision_tower().load_model()
    fill(model.state_dict(), SCALE)
    model.generation_config.pad_token_id = 0
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
    (folder / "tokenizer.model").write_bytes((RECORDINGS / "tokenizers/llama/tokenizer.model").read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=False)
    for name in ("cuda", "half"):
        setattr(torch.Tensor, name, lambda self, **_: self)
    return tokenizer, model.float().eval(), model.get_vision_tower().image_processor


def hub_tokenizer(folder: Path) -> None:
    """The tokenizer of llava-hf's checkpoints, as transformers' convert_llava_weights_to_hf.py makes it of theirs."""
    from transformers import AddedToken, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(AddedToken("<image>", special=True, normalized=False), special_tokens=True)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(RECORDINGS / "tokenizers" / "llava_hf")


def arguments(folder: Path, **further: Any) -> argparse.Namespace:
    """The command line of scripts/v1_5/eval/mmvet.sh, with the script's own defaults for what it leaves out."""
    given = {"model_path": "llava-v1.5-7b", "model_base": None, "image_folder": str(folder), "num_chunks": 1}
    given |= {"answers_file": str(folder / "answers.jsonl"), "chunk_idx": 0, "conv_mode": "vicuna_v1"}
    given |= {"temperature": 0, "top_p": None, "num_beams": 1, "single_pred_prompt": False}
    return argparse.Namespace(**given, question_file=str(folder / "questions.json"), **further)


def asked(script: Any, folder: Path, question: str, shown: str | None) -> None:
    """One question through an evaluation script of theirs."""
    if shown is None:
        lines: Any = [{"id": 1, "conversations": [{"value": question}]}]
    else:
        picture(shown).save(folder / f"{shown}.png")
        lines = {"question_id": 1, "image": f"{shown}.png", "text": question}
    (folder / "questions.json").write_text(json.dumps(lines))
    script.eval_model(arguments(folder))


def main() -> None:
    """Record state, pixels and answers."""
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, str(CHECKOUTS / "LLaVA"))
    sys.modules["shortuuid"] = types.SimpleNamespace(uuid=lambda: "")  # type: ignore[assignment]
    from llava.eval import model_vqa, model_vqa_science
    from llava.mm_utils import process_images
    from transformers import CLIPImageProcessor

    folder = Path(tempfile.mkdtemp())
    parts = tokenizer, model, processor = build(folder)
    published = CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    about = {"repository": "haotian-liu/LLaVA", "commit": commit("LLaVA"), "scale": SCALE}
    recording = Recording("llava", about | {"sizes": {"vision": VISION, "text": TEXT}})
    recording.about["weights"] = {"model": {key: list(value.shape) for key, value in model.state_dict().items()}}
    for name in PICTURES:
        small, full = (process_images([picture(name)], images, model.config)[0] for images in (processor, published))
        recording.pixels(name, small, full, processor.image_mean, processor.image_std)
    for script in (model_vqa, model_vqa_science):
        script.load_pretrained_model = lambda *_: (*parts, 2048)
    tokenized: list[Any] = []
    tokenize = model_vqa.tokenizer_image_token

    def spy(prompt: str, *rest: Any, **named: Any) -> Any:
        tokenized.append(prompt)
        return tokenize(prompt, *rest, **named)

    for script in (model_vqa, model_vqa_science):
        script.tokenizer_image_token = spy
    for name, question, shown in (
        ("picture", QUESTIONS[0], "typed2"),
        ("long", QUESTIONS[1], "wide"),
        ("marks", QUESTIONS[2], "tall"),
        ("text", QUESTIONS[1], None),
    ):
        with spied(model) as calls:
            asked(model_vqa if shown else model_vqa_science, folder, question, shown)
        (call,) = calls
        call.tokens = [int(logits.argmax()) for logits in call.logits]
        prompt = tokenized[-1]
        ids = tokenize(prompt, tokenizer, -200)
        recording.case(name, call, question=question, picture=shown, prompt=prompt, ids=ids, settings=call.settings)
    recording.about["decoded"] = {text: tokenizer.decode(tokenizer(text).input_ids[1:]) for text in SPACED}
    recording.save()
    hub_tokenizer(folder)


if __name__ == "__main__":
    main()
