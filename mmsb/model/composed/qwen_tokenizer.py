"""Qwen's tokenizer from its tiktoken ranks: a line of `qwen.tiktoken` is a token's bytes in base 64 and its rank."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from mmsb.errors import ModelError

RANKS = "qwen.tiktoken"
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISUAL = ("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>", "<imgpad>")
SPECIAL = (END, TURN, TURN_END, *(f"<|extra_{index}|>" for index in range(205)), *VISUAL)


def qwen_tokenizer(file: Path) -> Any:
    """The tokenizer; its special tokens follow the ranks.

    Raises:
        ModelError: the file is missing or holds no ranks.
    """
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    converter = TikTokenConverter(str(file), pattern=SPLIT, extra_special_tokens=SPECIAL)
    # tiktoken's own reader keeps a copy of each file by its path, and gives it again when the file has changed
    converter.load_tiktoken_bpe = lambda _: read_ranks(file)
    fast = converter.converted()
    # Qwen's own tokenizer normalises before it looks up bytes.
    fast.normalizer = normalizers.NFC()
    # The chat model ends a turn, not a text.
    return PreTrainedTokenizerFast(tokenizer_object=fast, eos_token=TURN_END, pad_token=END)


def read_ranks(file: Path) -> dict[bytes, int]:
    """Every token's rank.

    Raises:
        ModelError: the file is missing or holds no ranks.
    """
    try:
        lines = (line.split() for line in file.read_bytes().splitlines() if line)
        return {base64.b64decode(token): int(rank) for token, rank in lines}
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} is not a file of tokenizer ranks: {error}", "Download the whole folder.") from error
