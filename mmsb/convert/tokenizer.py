"""A published tokenizer, as the original code used it.

The first LLaMA models tokenised with SentencePiece itself: every segment got a leading blank of its own, also one that
starts with a space. A fast tokenizer with a "prepend, then replace" normaliser gives the same ids.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmsb.errors import ModelError

MODEL, FAST, ADDED = "tokenizer.model", "tokenizer.json", "added_tokens.json"
UNK, BOS, EOS = "<unk>", "<s>", "</s>"


def published_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`: from tokenizer.model where there is one, else as transformers reads it.

    Raises:
        ModelError: neither file is there.
    """
    from transformers import AutoTokenizer

    if (folder / MODEL).is_file():
        return sentencepiece_tokenizer(folder / MODEL)
    if not (folder / FAST).is_file():
        raise ModelError(f"{folder} holds no tokenizer ({MODEL} or {FAST})", "Download the whole folder.")
    return AutoTokenizer.from_pretrained(str(folder))


def sentencepiece_tokenizer(file: Path) -> Any:
    """A SentencePiece BPE model as a fast tokenizer that gives its very ids, segment by segment."""
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import SentencePieceExtractor

    # Not AutoTokenizer: transformers 5 reads these files anew, and a segment that begins with a blank gets other ids.
    extracted = SentencePieceExtractor(str(file)).extract(BPE)
    fast = Tokenizer(BPE(extracted["vocab"], extracted["merges"], unk_token=UNK, fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        # Only the first blank is cut: it is the one that the normaliser put there.
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokens = [UNK, BOS, EOS, *_added(file.with_name(ADDED))]
    fast.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])
    begin = (BOS, fast.token_to_id(BOS))
    fast.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[begin]
    )
    return PreTrainedTokenizerFast(tokenizer_object=fast, unk_token=UNK, bos_token=BOS, eos_token=EOS)


def _added(file: Path) -> list[str]:
    """Tokens that a published tokenizer has beyond its SentencePiece model, in the order of their ids."""
    if not file.is_file():
        return []
    added: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
    # Ids are given in the order of adding, so it must be the published one.
    return sorted(added, key=added.__getitem__)
