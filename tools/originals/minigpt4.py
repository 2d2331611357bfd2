"""MiniGPT-4 as its authors' demo runs it: python -m tools.originals.minigpt4."""

from __future__ import annotations

from typing import Any

import torch

from tools.originals.common import PICTURES, QUESTIONS, SEED, Recording, commit, fill, picture
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

ANSWERS = ("Sure, here it is.", "é 漢 🙂\nand more ", "one### Human: two", "a Assistant: b Assistant:  c", "")
CASES = {"typed": (0, "typed2"), "tall": (1, "tall"), "grey": (2, "grey")}


def build() -> Any:
    """The authors' model with the weights of its published keys."""
    import minigpt4.models.base_model as base
    from minigpt4.models.minigpt4 import BertConfig, MiniGPT4

    base.create_eva_vit_g = small_eva
    in_float32(base.LlamaForCausalLM)
    BertConfig.from_pretrained = small_bert
    MiniGPT4.load_from_pretrained = lambda *_, **__: None
    folder = llama_checkpoint(LLAMA, rms_norm_eps=1e-6)
    model = MiniGPT4(
        img_size=VISION["image_size"],
        vit_precision="fp32",
        num_query_token=QFORMER["num_query_tokens"],
        llama_model=str(folder),
    )
    return model.float().eval()


def published(model: Any) -> dict[str, dict[str, Any]]:
    """The model's weights by the file that publishes them."""
    state = model.state_dict()
    qformer = ("Qformer.", "query_tokens", "ln_vision.")
    return {
        "vision": model.visual_encoder.state_dict(),
        "qformer": {key: value for key, value in state.items() if key.startswith(qformer)},
        "projection": {key: value for key, value in state.items() if key.startswith("llama_proj.")},
        "language": model.llama_model.state_dict(),
    }


def main() -> None:
    """Record."""
    open_package("MiniGPT-4")
    from minigpt4.conversation.conversation import Chat, CONV_VISION_Vicuna0, StoppingCriteriaSub
    from minigpt4.processors.blip_processors import Blip2ImageEvalProcessor
    from transformers import StoppingCriteriaList

    model = build()
    files = published(model)
    for state in files.values():
        fill(state)
    tokenizer = model.llama_tokenizer
    # demo.py:72 stops at [835] and at [2277, 29937]: "###" after a blank and within a word, in LLaMA's vocabulary.
    stops = [torch.tensor([tokenizer.convert_tokens_to_ids(piece)]) for piece in ("▁###", "###")]
    processor = Blip2ImageEvalProcessor(image_size=VISION["image_size"])
    criteria = StoppingCriteriaList([StoppingCriteriaSub(stops=stops)])
    chat = Chat(model, processor, device="cpu", stopping_criteria=criteria)
    recording = Recording("minigpt4")
    recording.about = {
        "repository": "https://github.com/Vision-CAIR/MiniGPT-4",
        "commit": commit("MiniGPT-4"),
        "parts": {"vision": VISION, "qformer": QFORMER, "text": LLAMA},
        "files": {entry: shapes(state) for entry, state in files.items()},
        "ln_vision_eps": model.ln_vision.eps,
        "stop": ["###"],
    }
    for name in PICTURES:
        small, full = (side(picture(name)) for side in (processor, Blip2ImageEvalProcessor(image_size=224)))
        recording.pixels(name, small, full, processor.normalize.mean, processor.normalize.std)
    for name, (question, shown) in CASES.items():
        answer(recording, chat, CONV_VISION_Vicuna0, name, QUESTIONS[question], shown)
    recording.about["read"] = [read(chat, CONV_VISION_Vicuna0, text) for text in ANSWERS]
    without_image(recording, model, CONV_VISION_Vicuna0)
    recording.save()


def answer(recording: Recording, chat: Any, conversation: Any, name: str, question: str, shown: str) -> None:
    """One question about one picture, as demo.py's gradio_answer asks it."""
    model = chat.model
    for sampled in (False, True):
        conv, images = conversation.copy(), list[Any]()
        chat.upload_img(picture(shown), conv, images)
        chat.encode_img(images)
        chat.ask(question, conv)
        torch.manual_seed(SEED)
        with torch.no_grad(), spied(model.llama_model, do_sample=sampled) as calls:
            chat.answer(conv=conv, img_list=images, num_beams=1, temperature=1.0, max_new_tokens=300, max_length=2000)
        if sampled:
            recording.about["cases"][name]["sampled"] = calls[0].tokens
            continue
        conv.messages[-1][1] = None
        prompt = conv.get_prompt()
        segments = prompt.split("<ImageHere>")
        ids = [
            model.llama_tokenizer(part, add_special_tokens=index == 0).input_ids for index, part in enumerate(segments)
        ]
        recording.case(name, calls[0], question=question, picture=shown, prompt=prompt, ids=ids)
        recording.about["arguments"] = calls[0].settings


def read(chat: Any, conversation: Any, text: str) -> dict[str, Any]:
    """What the demo makes of these tokens: where it cuts, what it strips."""
    tokens = chat.model.llama_tokenizer(text, add_special_tokens=False).input_ids
    chat.model_generate = lambda **_: torch.tensor([tokens])
    conv, images = conversation.copy(), list[Any]()
    chat.upload_img(torch.zeros(1, 1, LLAMA["hidden_size"]), conv, images)
    answered, _ = chat.answer(conv, images)
    del chat.model_generate
    return {"tokens": tokens, "text": answered}


def without_image(recording: Recording, model: Any, conversation: Any) -> None:
    """The same words without the image: the demo cannot ask so; its conversation and tokenizer say what it would be."""
    conv = conversation.copy()
    conv.append_message(conv.roles[0], QUESTIONS[0])
    conv.append_message(conv.roles[1], None)
    prompt = conv.get_prompt()
    ids = model.llama_tokenizer(prompt).input_ids
    embeds = model.embed_tokens(torch.tensor([ids]))
    with torch.no_grad(), spied(model.llama_model) as calls:
        model.llama_model.generate(inputs_embeds=embeds, max_new_tokens=300, min_length=1, repetition_penalty=1.05)
    recording.case("words", calls[0], question=QUESTIONS[0], picture=None, prompt=prompt, ids=[ids])


if __name__ == "__main__":
    main()
