"""Two small published tokenizers, made once: python -m tools.originals.tokens (files in tests/originals/tokens)."""

from __future__ import annotations

import base64
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tools.originals.common import RECORDINGS

TOKENS = RECORDINGS / "tokens"
SENTENCES = (
    "Give the following image. You will be able to see the image once I provide it to you. Please answer my questions.",
    "###Human: the image shows a phrase of an activity. List the steps in detail. ###Assistant: Sure, here it is.",
    "A chat between a curious user and an artificial intelligence assistant. USER: what is this? ASSISTANT: text",
    "The assistant gives helpful, detailed, and polite answers to the user's questions. Question: Answer: User: GPT:",
)
LLAMA_SETTINGS = {
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "tokenizer_class": "LlamaTokenizer",
    "clean_up_tokenization_spaces": False,
}


def sentencepiece_model(file: Path, size: int = 420, sentences: tuple[str, ...] = SENTENCES) -> None:
    """A SentencePiece BPE model with byte fallback, trained as LLaMA's was; `<s>` is 1, `</s>` is 2."""
    import io

    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences * 4),
        model_writer=made,
        vocab_size=size,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    file.write_bytes(made.getvalue())


def tiktoken_ranks(file: Path, merges: int = 100) -> None:
    """Ranks as tiktoken publishes them: all bytes, then pairs merged where they stand most often."""
    words = [[bytes([byte]) for byte in f" {word}".encode()] for text in SENTENCES for word in text.split()]
    tokens = [bytes([byte]) for byte in range(256)]
    for _ in range(merges):
        pairs = Counter(pair for word in words for pair in pairwise(word))
        (left, right), _ = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        tokens.append(left + right)
        for word in words:
            for at in range(len(word) - 2, -1, -1):
                if word[at : at + 2] == [left, right]:
                    word[at : at + 2] = [left + right]
    file.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens)))


def llama_folder(folder: Path, **further: str) -> Path:
    """A folder with the small SentencePiece model as LLaMA's checkpoints publish it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes((TOKENS / "tokenizer.model").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps(LLAMA_SETTINGS | further))
    return folder


if __name__ == "__main__":
    TOKENS.mkdir(parents=True, exist_ok=True)
    sentencepiece_model(TOKENS / "tokenizer.model")
    tiktoken_ranks(TOKENS / "qwen.tiktoken")
