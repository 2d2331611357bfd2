"""MiniGPT-v2 as its authors evaluate it and as their demo runs it: python -m tools.originals.minigpt_v2."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from tools.originals.common import PICTURES, QUESTIONS, SEED, Recording, commit, fill, picture
from tools.originals.minigpt import LLAMA, VISION, in_float32, llama_checkpoint, open_package, shapes, small_eva
from tools.originals.spying import spied

ANSWERS = ("Sure, here it is.", "é 漢 🙂\nand more ", "one</s> two", "a [/INST] b [/INST]  c", "")
CASES = {"typed": (0, "typed2"), "tall": (1, "tall"), "grey": (2, "grey")}
LONGEST = 500  # the demo's; the evaluation scripts ask for answers of 20 tokens


def build() -> tuple[Any, dict[str, dict[str, Any]]]:
    """The authors' model and its published files; the ViT's file has the positions of half the size."""
    import minigpt4.models.base_model as base
    from minigpt4.models.eva_vit import interpolate_pos_embed
    from minigpt4.models.minigpt_v2 import MiniGPTv2

    base.create_eva_vit_g = small_eva
    in_float32(base.LlamaForCausalLM)
    folder = llama_checkpoint(LLAMA, rms_norm_eps=1e-5)
    model = MiniGPTv2(img_size=VISION["image_size"], vit_precision="fp32", llama_model=str(folder)).float().eval()
    vision = small_eva(VISION["image_size"] // 2).state_dict()
    fill(vision)
    widened = dict(vision)
    interpolate_pos_embed(model.visual_encoder, widened)
    model.visual_encoder.load_state_dict(widened)
    trained = {key for key, weight in model.named_parameters() if weight.requires_grad}
    adapter = {key: value for key, value in model.state_dict().items() if key in trained}
    fill(adapter)
    language = base.LlamaForCausalLM.from_pretrained(str(folder)).state_dict()
    return model, {"vision": vision, "language": language, "adapter": adapter}


def main() -> None:
    """Record."""
    open_package("MiniGPT-4")
    from minigpt4.conversation.conversation import Chat, CONV_VISION_minigptv2
    from minigpt4.processors.blip_processors import Blip2ImageEvalProcessor

    model, files = build()
    processor = Blip2ImageEvalProcessor(image_size=VISION["image_size"])
    recording = Recording("minigpt_v2")
    recording.about = {
        "repository": "https://github.com/Vision-CAIR/MiniGPT-4",
        "commit": commit("MiniGPT-4"),
        "parts": {"vision": VISION, "text": LLAMA},
        "files": {entry: shapes(state) for entry, state in files.items()},
        "ln_vision_eps": model.ln_vision.eps,
        "stop": [],
    }
    for name in PICTURES:
        small, full = (side(picture(name)) for side in (processor, Blip2ImageEvalProcessor(image_size=448)))
        recording.pixels(name, small, full, processor.normalize.mean, processor.normalize.std)
    for name, (question, shown) in CASES.items():
        evaluated(recording, model, processor, CONV_VISION_minigptv2, name, QUESTIONS[question], shown)
    without_image(recording, model, CONV_VISION_minigptv2)
    recording.about["read"] = [read(model, text) for text in ANSWERS]
    chat = Chat(model, processor, device="cpu")
    demo: dict[str, Any] = {"sampled": {}}
    for name, (question, shown) in CASES.items():
        conv, images = CONV_VISION_minigptv2.copy(), list[Any]()
        chat.upload_img(picture(shown), conv, images)
        chat.ask(QUESTIONS[question], conv)
        chat.encode_img(images)
        torch.manual_seed(SEED)
        with (
            torch.no_grad(),
            spied(model.llama_model.base_model.model, do_sample=True) as calls,
        ):  # demo_v2.py:454 and :550
            chat.answer(conv=conv, img_list=images, temperature=0.6, max_new_tokens=500, max_length=2000)
        demo |= {"arguments": calls[0].settings, "sampled": {**demo["sampled"], name: calls[0].tokens}}
    recording.about["demo"] = demo
    recording.save()


def evaluated(
    recording: Recording, model: Any, processor: Any, conversation: Any, name: str, question: str, shown: str
) -> None:
    """One question about one picture, as eval_scripts/eval_vqa.py asks it."""
    from minigpt4.common.eval_utils import prepare_texts

    (prompt,) = prepare_texts([question], conversation)
    with spied(model.llama_model.base_model.model) as calls:
        model.generate(processor(picture(shown))[None], [prompt], max_new_tokens=LONGEST, do_sample=False)
    ids = [
        model.llama_tokenizer(part, add_special_tokens=index == 0).input_ids
        for index, part in enumerate(prompt.split("<ImageHere>"))
    ]
    recording.case(name, calls[0], question=question, picture=shown, prompt=prompt, ids=ids)
    recording.about["arguments"] = calls[0].settings


def without_image(recording: Recording, model: Any, conversation: Any) -> None:
    """The same words without an image: the demo allows it (demo_v2.py:434)."""
    conv = conversation.copy()
    conv.append_message(conv.roles[0], QUESTIONS[0])
    conv.append_message(conv.roles[1], None)
    prompt = conv.get_prompt()
    ids = model.llama_tokenizer(prompt).input_ids
    with torch.no_grad(), spied(model.llama_model.base_model.model) as calls:
        model.llama_model.generate(inputs_embeds=model.embed_tokens(torch.tensor([ids])), max_new_tokens=LONGEST)
    recording.case("words", calls[0], question=QUESTIONS[0], picture=None, prompt=prompt, ids=[ids])


def read(model: Any, text: str) -> dict[str, Any]:
    """What the evaluation makes of these tokens: where it cuts, what it strips."""
    tokens = model.llama_tokenizer(text, add_special_tokens=False).input_ids or [2]
    standing = SimpleNamespace(
        device=model.device,
        encode_img=lambda images: (torch.zeros(1, 1, 1), None),
        get_context_emb=lambda *_: torch.zeros(1, 1, 1),
        maybe_autocast=model.maybe_autocast,
        llama_model=SimpleNamespace(generate=lambda **_: torch.tensor([tokens])),
        llama_tokenizer=model.llama_tokenizer,
    )
    (answer,) = type(model).generate(standing, torch.zeros(1), ["<ImageHere>"])
    return {"tokens": tokens, "text": answer}


if __name__ == "__main__":
    main()
