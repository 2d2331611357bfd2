"""Record Otter (Luodian/Otter): the model class and its benchmark adapter, on MPT with the published configuration.

Only sizes are shrunk. The authors' code takes some of them from constants; those are replaced where they are used.
"""

from __future__ import annotations

import functools
import json
import sys
import types
from typing import Any

from PIL import Image

from tools.originals.common import CHECKOUTS, PICTURES, QUESTIONS, RECORDINGS, Recording, commit, fill, picture
from tools.originals.spying import spied

CHECKOUT = CHECKOUTS / "Otter"
CONFIG = "src/otter_ai/models/otter/utils/Otter-MPT7B-config.json"
SIZES: dict[str, dict[str, Any]] = {
    "vision": {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
    },
    "perceiver": {"num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 8, "num_latents": 5},
    "text": {
        "vocab_size": 404,
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 4,
        "max_seq_len": 512,
        "cross_attn_every_n_layers": 2,
    },
}
SCALE = 0.5  # of the weights: the picture decides some tokens then
GREEDY = {"num_beams": 1, "no_repeat_ngram_size": 0}


def build() -> Any:
    """The authors' model, small, with their benchmark adapter around it."""
    import torch
    import transformers

    torch.set_num_threads(1)
    sys.modules["cv2"] = types.ModuleType("cv2")  # imported for videos
    sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "src")]
    tokenizer = transformers.AutoTokenizer.from_pretrained(RECORDINGS / "tokenizers" / "gpt_neox")
    transformers.AutoTokenizer.from_pretrained = lambda name: tokenizer  # it is asked for mosaicml/mpt-7b-instruct
    from otter_ai.models.otter import modeling_otter
    from otter_ai.models.otter.configuration_otter import OtterConfig
    from pipeline.benchmarks.models.otter_image import OtterImage

    config = json.loads((CHECKOUT / CONFIG).read_text(encoding="utf-8"))
    text = dict(SIZES["text"])
    config["cross_attn_every_n_layers"] = text.pop("cross_attn_every_n_layers")
    config["text_config"] |= text | {"hidden_size": text["d_model"]}
    config["vision_config"] |= SIZES["vision"]
    reader = {"dim_head": SIZES["perceiver"]["head_dim"], "heads": SIZES["perceiver"]["num_attention_heads"]}
    depth, latents = SIZES["perceiver"]["num_hidden_layers"], SIZES["perceiver"]["num_latents"]
    modeling_otter.OtterPerceiverResampler = functools.partial(
        modeling_otter.OtterPerceiverResampler, depth=depth, num_latents=latents, **reader
    )
    modeling_otter.OtterGatedCrossAttentionBlock = functools.partial(
        modeling_otter.OtterGatedCrossAttentionBlock, **reader
    )
    width = SIZES["vision"]["hidden_size"]
    model_class = modeling_otter.OtterForConditionalGeneration
    model_class.vis_dim = property(lambda _: width, lambda _, published: None)  # set to 1024 when built
    side = SIZES["vision"]["image_size"]
    processor = transformers.CLIPImageProcessor
    transformers.CLIPImageProcessor = lambda: processor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    model_class.from_pretrained = lambda path, **_: model_class(OtterConfig(**config))
    return OtterImage(load_bit="fp32")


def main() -> None:
    """Record state, pixels and answers."""
    import transformers

    published = transformers.CLIPImageProcessor()
    original = build()
    from pipeline.benchmarks.models.otter_image import get_formatted_prompt

    tokenizer, generate = original.tokenizer, original.model.generate
    about = {"repository": "Luodian/Otter", "commit": commit("Otter"), "sizes": SIZES, "scale": SCALE}
    recording = Recording("otter", about)
    recording.about["weights"] = {"model": fill(original.model.state_dict(), SCALE)}
    for name in PICTURES:
        small, images = original.get_vision_x(picture(name))[0, 0, 0], original.image_processor
        original.image_processor = published
        full = original.get_vision_x(picture(name))[0, 0, 0]
        original.image_processor = images
        recording.pixels(name, small, full, original.image_processor.image_mean, original.image_processor.image_std)
    black = Image.new("RGB", (224, 224))  # what their demo opens where no picture is given
    for name, question, shown, instead in (
        ("picture", QUESTIONS[0], "typed2", GREEDY),
        ("long", QUESTIONS[1], "wide", GREEDY),
        ("marks", QUESTIONS[2], "tall", GREEDY),
        ("text", QUESTIONS[1], None, GREEDY),
        ("beams", QUESTIONS[1], "typed1", {}),
    ):
        original.model.generate = lambda instead=instead, **given: generate(**given | instead)
        with spied(original.model.lang_encoder) as calls:
            text = original.generate(question, black if shown is None else picture(shown))
        prompt = get_formatted_prompt(question)
        recording.case(
            name,
            calls[0],
            question=question,
            picture=shown,
            prompt=prompt,
            ids=tokenizer([prompt])["input_ids"],
            settings=calls[0].settings,
            text=text,
        )
    spaced = "Well , it is n't . Do n't { 'a' : 1 } !"
    recording.about["decoded"] = {spaced: tokenizer.decode(tokenizer(spaced)["input_ids"])}
    recording.save()


if __name__ == "__main__":
    main()
