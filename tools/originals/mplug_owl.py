"""mPLUG-Owl as its authors' interface runs it: python -m tools.originals.mplug_owl."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from tools.originals.common import CHECKOUTS, PICTURES, QUESTIONS, SEED, Recording, commit, fill, picture
from tools.originals.minigpt import LLAMA, shapes
from tools.originals.spying import spied
from tools.originals.tokens import llama_folder

LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
VISION: dict[str, Any] = {**LAYERS, "hidden_size": 24, "intermediate_size": 40, "image_size": 56, "patch_size": 14}
ABSTRACTOR = {**LAYERS, "hidden_size": 24, "intermediate_size": 30}
QUERIES = 64  # processing_mplug_owl.py:178 leaves 65 places for an image
PROMPT = """The following is a conversation between a curious human and AI assistant. \
The assistant gives helpful, detailed, and polite answers to the user's questions.
Human: <image>
Human: {question}
AI: """  # README.md:155
ANSWERS = ("Sure, here it is.", "é 漢 🙂\nand more ", "one</s>", "Human: a AI: b", "")
CASES = {"typed": (0, "typed2"), "tall": (1, "tall"), "grey": (2, "grey"), "words": (0, None)}


def build() -> Any:
    """The authors' model with the weights of its keys."""
    from mplug_owl.configuration_mplug_owl import MplugOwlConfig
    from mplug_owl.modeling_mplug_owl import MplugOwlForConditionalGeneration

    text = {
        "model_type": "llama",
        **LLAMA,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    config = MplugOwlConfig(
        vision_config=VISION,
        visual_abstractor_config={**ABSTRACTOR, "encoder_hidden_size": VISION["hidden_size"]},
        text_config=text,
        num_query_tokens=QUERIES,
    )
    model = MplugOwlForConditionalGeneration(config).float().eval()
    fill(model.state_dict())
    return model


def main() -> None:
    """Record."""
    sys.path.insert(0, str(CHECKOUTS / "mPLUG-Owl" / "mPLUG-Owl"))
    from mplug_owl.processing_mplug_owl import MplugOwlImageProcessor, MplugOwlProcessor
    from mplug_owl.tokenization_mplug_owl import MplugOwlTokenizer
    from transformers import AutoTokenizer

    model = build()
    folder = llama_folder(Path(tempfile.mkdtemp()))
    tokenizer = MplugOwlTokenizer.from_pretrained(folder)
    side = VISION["image_size"]
    images = MplugOwlImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    processor = MplugOwlProcessor(images, tokenizer)
    readme = MplugOwlProcessor(images, AutoTokenizer.from_pretrained(folder))  # what README.md:139 opens
    abstractor = {**ABSTRACTOR, "num_query_tokens": QUERIES}
    recording = Recording("mplug_owl")
    recording.about = {
        "repository": "https://github.com/X-PLUG/mPLUG-Owl",
        "commit": commit("mPLUG-Owl"),
        "parts": {"vision": VISION, "abstractor": abstractor, "text": LLAMA},
        "files": {"language": shapes(model.state_dict())},
        "stop": [],
    }
    for name in PICTURES:
        published = MplugOwlProcessor(MplugOwlImageProcessor(), tokenizer)
        seen = (whole(images=[picture(name)], return_tensors="pt") for whole in (processor, published))
        small, full = (one["pixel_values"][0] for one in seen)
        recording.pixels(name, small, full, images.image_mean, images.image_std)
    for name, (question, shown) in CASES.items():
        prompt = PROMPT.replace("{question}", QUESTIONS[question])
        prompt = prompt if shown else prompt.replace("Human: <image>\n", "")
        given = processor(text=[prompt], images=[picture(shown)] if shown else None, return_tensors="pt")
        assert torch.equal(given["input_ids"], readme(text=[prompt])["input_ids"])
        ids = parted(given["input_ids"][0].tolist())
        for sampled in (False, True):
            torch.manual_seed(SEED)
            with torch.no_grad(), spied(model.language_model, do_sample=sampled) as calls:
                model.generate(**given, do_sample=True, top_k=5, max_length=512)  # README.md:164, interface.py:72
            if sampled:
                recording.about["cases"][name]["sampled"] = calls[0].tokens
            else:
                recording.case(name, calls[0], question=QUESTIONS[question], picture=shown, prompt=prompt, ids=ids)
        recording.about["arguments"] = calls[0].settings
    recording.about["read"] = []
    for text in ANSWERS:
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        answer = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        recording.about["read"].append({"tokens": tokens, "text": answer})
    recording.save()


def parted(ids: list[int]) -> list[list[int]]:
    """Token ids before and after the image's places (-1)."""
    if -1 not in ids:
        return [ids]
    first = ids.index(-1)
    return [ids[:first], [token for token in ids[first:] if token != -1]]


if __name__ == "__main__":
    main()
