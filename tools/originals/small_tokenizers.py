"""The small tokenizers in tests/originals/tokenizers, made once: python -m tools.originals.small_tokenizers.

Those of llava_hf, idefics and instructblip are made of LLaMA's by the scripts that record these systems.
"""

from __future__ import annotations

import json
from pathlib import Path

from tools.originals.common import RECORDINGS
from tools.originals.tokens import sentencepiece_model

SENTENCES = (
    "Give the following image. You will be able to see the image once I provide it to you.",
    "Human: the image shows a phrase of an activity. List the steps in detail. Assistant: Sure, here it is.",
    "A chat between a curious user and an artificial intelligence assistant. USER: what is this? ASSISTANT: text",
    "User: What is this? GPT: It is a picture of a boat on a lake.",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
END = "<|endoftext|>"


def gpt_neox(folder: Path, size: int = 397) -> None:
    """A byte-level tokenizer as mosaicml/mpt-7b-instruct publishes GPT-NeoX's, with its tokens of several blanks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    words = Tokenizer(models.BPE())
    words.normalizer = normalizers.NFC()
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder, words.post_processor = decoders.ByteLevel(), processors.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, "<|padding|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(SENTENCES * 3, trainer)
    words.add_tokens([AddedToken(" " * blanks, normalized=True) for blanks in (4, 3, 2)])
    folder.mkdir(parents=True, exist_ok=True)
    words.save(str(folder / "tokenizer.json"))
    marks = {"bos_token": END, "eos_token": END, "unk_token": END}
    settings: dict[str, object] = {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": True,
        "model_max_length": 2048,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**settings, **marks, "tokenizer_class": "GPTNeoXTokenizer"})
    )
    (folder / "special_tokens_map.json").write_text(json.dumps(marks))


def bert(folder: Path) -> None:
    """A vocabulary of letters and a few words, in BERT's file."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *"0123456789.,?!#{}"]
    words += ["what", "is", "this", "the", "image", "steps", *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")


if __name__ == "__main__":
    tokenizers = RECORDINGS / "tokenizers"
    gpt_neox(tokenizers / "gpt_neox")
    bert(tokenizers / "bert")
    (tokenizers / "llama").mkdir(parents=True, exist_ok=True)
    sentencepiece_model(tokenizers / "llama" / "tokenizer.model", 400, SENTENCES[:3])
