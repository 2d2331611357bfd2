"""Record IDEFICS, instructed: its published code is that of transformers, its use that of its model card.

Transformers 4.37.2, not the 4.33 of its first days: there, tokens before a picture saw it, which its authors mended
(huggingface/transformers, pull request 26839).

Prompt, forbidden words and end as on https://huggingface.co/HuggingFaceM4/idefics-9b-instruct; the picture comes first,
as in the card's third turn.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tools.originals.common import PICTURES, QUESTIONS, RECORDINGS, Recording, fill, picture
from tools.originals.spying import spied

SIDE, SCALE = 56, 0.3
SIZES: dict[str, Any] = {
    "vocab_size": 400,
    "additional_vocab_size": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "cross_layer_interval": 2,
    "qk_layer_norms": True,
    "use_resampler": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    "vision_config": {
        "embed_dim": 24,
        "hidden_size": 24,
        "image_size": SIDE,
        "patch_size": 14,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": "gelu",
    },
    "perceiver_config": {
        "resampler_n_latents": 5,
        "resampler_depth": 2,
        "resampler_n_heads": 2,
        "resampler_head_dim": 8,
        "qk_layer_norms_perceiver": True,
    },
}
SPECIAL = ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]
TOKENIZER = RECORDINGS / "tokenizers" / "idefics"


def processor() -> Any:
    """Their processor around a fast LLaMA tokenizer with the three added tokens, as published."""
    from transformers import IdeficsImageProcessor, IdeficsProcessor, LlamaTokenizerFast

    folder = Path(tempfile.mkdtemp())
    shutil.copy(RECORDINGS / "tokenizers/llama/tokenizer.model", folder)
    words = LlamaTokenizerFast.from_pretrained(folder, clean_up_tokenization_spaces=False)
    words.add_special_tokens({"additional_special_tokens": SPECIAL, "pad_token": "<unk>"})
    words.save_pretrained(TOKENIZER)
    settings = json.loads((TOKENIZER / "tokenizer_config.json").read_text())
    settings.pop("legacy")  # the published one was saved before there was such a setting
    (TOKENIZER / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    images = IdeficsImageProcessor(image_size=SIDE, image_mean=MEAN, image_std=STD, image_num_channels=3)
    return IdeficsProcessor(images, LlamaTokenizerFast.from_pretrained(TOKENIZER))


MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def main() -> None:
    """Record state, configuration, pixels and answers."""
    import torch
    import transformers
    from transformers import IdeficsConfig, IdeficsForVisionText2Text

    torch.set_num_threads(1)
    made = processor()
    published = type(made.image_processor)(image_size=224, image_mean=MEAN, image_std=STD, image_num_channels=3)
    words = made.tokenizer
    sizes = SIZES | {"vocab_size": 400, "additional_vocab_size": len(words) - 400}
    model = IdeficsForVisionText2Text(IdeficsConfig(**sizes)).eval()
    fill(model.state_dict(), SCALE)
    about = {"repository": "huggingface/transformers", "commit": f"v{transformers.__version__}", "scale": SCALE}
    recording = Recording("idefics", about | {"config": model.config.to_dict()})
    recording.about["weights"] = {"model": {key: list(value.shape) for key, value in model.state_dict().items()}}
    for name in PICTURES:
        small, full = (images([picture(name)])[0] for images in (made.image_processor, published))
        recording.pixels(name, small, full, MEAN, STD)
    end = words("<end_of_utterance>", add_special_tokens=False).input_ids
    forbidden = words(["<image>", "<fake_token_around_image>"], add_special_tokens=False).input_ids
    for name, question, shown in (
        ("picture", QUESTIONS[0], "typed2"),
        ("long", QUESTIONS[1], "wide"),
        ("marks", QUESTIONS[2], "tall"),
        ("text", QUESTIONS[1], None),
    ):
        asked = [f"User: {question}"] if shown is None else ["User:", picture(shown), question]
        inputs = made([[*asked, "<end_of_utterance>", "\nAssistant:"]], add_end_of_utterance_token=False)
        with spied(model) as calls:
            model.generate(**inputs, eos_token_id=end, bad_words_ids=forbidden, max_length=100)
        (call,) = calls
        settings = call.settings | {"bad_words_ids": forbidden}
        ids = inputs["input_ids"][0].tolist()
        prompt = words.decode(ids)
        recording.case(name, call, question=question, picture=shown, prompt=prompt, ids=ids, settings=settings)
    spaced = "Well , it is n't . Do n't { 'a' : 1 } ! é 漢 🙂\n  two  blanks"
    recording.about["decoded"] = {spaced: words.decode(words(spaced, add_special_tokens=False).input_ids)}
    recording.save()


if __name__ == "__main__":
    main()
