"""MiniGPT-5 as its authors' playground runs it: python -m tools.originals.minigpt5 (with peft 0.10.0).

The drawing of pictures (Stable Diffusion) is left out: only what the model writes is recorded.
"""

from __future__ import annotations

import os
import sys
import types
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch

from tools.originals.common import CHECKOUTS, PICTURES, QUESTIONS, SEED, Recording, commit, fill, picture
from tools.originals.minigpt import (
    LLAMA,
    QFORMER,
    VISION,
    in_float32,
    llama_checkpoint,
    open_package,
    shapes,
    small_bert,
    small_eva,
)
from tools.originals.spying import spied

WORDS = (
    "Give the following images in <Img>ImageContent</Img> format. You will be able to see the images once I provide it "
    "to you. Please understanding images and generate story."
)
CASES = {"typed": (0, "typed2"), "tall": (1, "tall"), "grey": (2, "grey"), "words": (1, None)}
ANSWERS = ("Sure, here it is.", "é 漢 🙂\nand more ", "one ###", "")
DRAWS = 420  # [IMG0]: its row of the output table is made large, so that the small model draws now and then


def open_modules() -> None:
    """Make the authors' files importable: in float32, with LoRA, without what draws and trains."""
    sys.path.insert(0, str(CHECKOUTS / "peft-0.10.0"))
    os.environ["IS_STAGE2"] = "True"
    open_package("MiniGPT-5")
    from transformers import CLIPTextModel, LlamaForCausalLM  # noqa: F401  # before what they would look for is replaced

    for name in (
        "lightning",
        "lightning.pytorch",
        "lightning.pytorch.callbacks",
        "lightning.pytorch.callbacks.callback",
    ):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["lightning.pytorch"].LightningModule = object  # type: ignore[attr-defined]
    sys.modules["lightning.pytorch"].seed_everything = None  # type: ignore[attr-defined]
    sys.modules["lightning.pytorch.callbacks.callback"].Callback = object  # type: ignore[attr-defined]
    for name in ("diffusers", "diffusers.models.autoencoders.vae", "wandb", "train_eval"):
        sys.modules[name] = MagicMock()
    import constants

    constants.PRECISION = torch.float32


def build() -> tuple[Any, dict[str, dict[str, Any]]]:
    """The authors' model and its published files."""
    import minigpt4.models.blip2 as blip2
    import minigpt4.models.mini_gpt4 as mini_gpt4
    import minigpt4.models.mini_gpt5 as mini_gpt5
    from transformers import LlamaForCausalLM

    blip2.create_eva_vit_g = small_eva
    blip2.BertConfig.from_pretrained = small_bert
    blip2.Blip2Base.init_tokenizer = classmethod(lambda _: None)
    blip2.Blip2Base.load_from_pretrained = lambda *_, **__: None
    in_float32(mini_gpt4.LlamaForCausalLM)
    mini_gpt5.StoppingCriteriaSub = stops(mini_gpt5.StoppingCriteriaSub)
    folder = llama_checkpoint(LLAMA, rms_norm_eps=1e-6)
    model = mini_gpt5.MiniGPT5(
        img_size=VISION["image_size"],
        vit_precision="fp32",
        num_query_token=QFORMER["num_query_tokens"],
        llama_model=str(folder),
    )
    model = model.float().eval()
    state = model.state_dict()
    qformer = ("Qformer.", "query_tokens", "ln_vision.")
    trained = {
        key for key, weight in model.named_parameters() if weight.requires_grad and key.startswith("llama_model.")
    }
    files = {
        "vision": model.visual_encoder.state_dict(),
        "qformer": {key: value for key, value in state.items() if key.startswith(qformer)},
        "projection": {key: value for key, value in state.items() if key.startswith("llama_proj.")},
        "adapter": {f"model.{key}": value for key, value in state.items() if key in trained},
    }
    for held in files.values():
        fill(held)
    files["language"] = LlamaForCausalLM.from_pretrained(str(folder)).state_dict()
    return model, files


def stops(kind: Any) -> Any:
    """The authors' stop rule for "###", which names tokens of LLaMA's vocabulary, in the small vocabulary."""
    return lambda stops: kind(stops=[torch.tensor([322]), torch.tensor([308])])  # after a blank, within a word


def main() -> None:
    """Record."""
    open_modules()
    import model as authors
    from examples.playground import expand2square
    from torchvision import transforms

    model, files = build()
    tokenizer = model.llama_tokenizer
    assert tokenizer.convert_ids_to_tokens([322, 308, DRAWS]) == ["▁###", "###", "[IMG0]"]
    (table,) = (key for key in files["adapter"] if "lm_head.modules_to_save" in key)
    with torch.no_grad():
        files["adapter"][table][DRAWS] *= 4
    side = VISION["image_size"]
    normalise = transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

    def seen(name: str, side: int) -> Any:  # examples/playground.py:49
        steps = (
            transforms.Resize(side, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
            normalise,
        )
        return transforms.Compose(steps)(expand2square(picture(name), (255, 255, 255)))

    recording = Recording("minigpt5")
    recording.about = {
        "repository": "https://github.com/eric-ai-lab/MiniGPT-5",
        "commit": commit("MiniGPT-5"),
        "parts": {"vision": VISION, "qformer": QFORMER, "text": LLAMA},
        "files": {entry: shapes(state) for entry, state in files.items()},
        "rows": {table: {str(DRAWS): 4}},
        "ln_vision_eps": model.ln_vision.eps,
        "stop": ["###"],
    }
    for name in PICTURES:
        recording.pixels(name, seen(name, side), seen(name, 224), normalise.mean, normalise.std)
    whole = SimpleNamespace(
        model=model,
        tokenizer=tokenizer,
        device=torch.device("cpu"),
        output_img_id=model.output_img_id,
        img_token_num=8,
        fc=lambda states: states,
        llm_to_t2i_mapping=MagicMock(),
        t2i_decoder_prompt=None,
        zero_img_feature=None,
        image_pipeline=MagicMock(),
    )
    language = model.llama_model.base_model.model
    for name, (question, shown) in CASES.items():
        asked = f"<Img><ImageHere></Img> {QUESTIONS[question]}" if shown else QUESTIONS[question]
        prompt = f"{WORDS}###Human:{asked} ###Assistant:"  # examples/playground.py:69
        image = seen(shown, side)[None] if shown else torch.zeros(1, 3, side, side)
        for sampled in (False, True):
            # their own loop draws and samples; with top_k 1 it is greedy
            torch.manual_seed(SEED)
            with torch.no_grad(), spied(language, do_sample=True, **({} if sampled else {"top_k": 1})) as calls:
                authors.MiniGPT5_Model.generate(whole, prompt, image)
            if sampled:
                recording.about["cases"][name]["sampled"] = calls[0].tokens
                continue
            ids = tokenizer(prompt, add_special_tokens=False).input_ids
            where = [place for place, token in enumerate(ids) if token == model.input_img_id]
            parts = [ids[: where[0]], ids[where[0] + 1 :]] if where else [ids]
            parts[0].insert(0, tokenizer.bos_token_id)
            recording.case(name, calls[0], question=QUESTIONS[question], picture=shown, prompt=prompt, ids=parts)
        recording.about["arguments"] = calls[0].settings
    recording.about["read"] = []
    for text in ANSWERS:
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        answer = tokenizer.decode(tokens, skip_special_tokens=False).replace("###", "").replace("[IMG0]", "")
        recording.about["read"].append({"tokens": tokens, "text": answer.strip()})  # examples/playground.py:74
    recording.save()


if __name__ == "__main__":
    main()
