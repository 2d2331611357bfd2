"""What every local model shares around transformers' `generate`: its arguments, and the way back to text."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from mmsb.model.local import KEPT_LOADED
from mmsb.types import Finish, Response


def arguments(
    generation: Mapping[str, Any], max_new_tokens: int, stop: Sequence[str], tokenizer: Any
) -> dict[str, Any]:
    """Arguments of `generate`: greedy unless the settings say otherwise, whatever the checkpoint's defaults."""
    settled = {"do_sample": False, **generation, "max_new_tokens": max_new_tokens}
    if not settled["do_sample"]:
        settled |= {"temperature": None, "top_p": None, "top_k": None}
    if stop:
        settled |= {"stop_strings": list(stop), "tokenizer": twin(tokenizer)}
    return settled


@lru_cache(maxsize=KEPT_LOADED)
def twin(tokenizer: Any) -> Any:
    """A copy for `generate`, which calls it: a call sets the padding that the thread of the next inputs relies on."""
    return copy.deepcopy(tokenizer)


@contextmanager
def known_penalty() -> Iterator[None]:
    """Silence the notice that a repetition penalty counts only new tokens where embeddings are given: so it should."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Passing `repetition_penalty`")
        yield


def response(
    tokenizer: Any, ids: Sequence[int], input_tokens: int, max_new_tokens: int, stop: Sequence[str], after: str = ""
) -> Response:
    """New tokens as an answer: padding dropped, cut at the first stop string and behind the last `after`."""
    kept = [token for token in ids if token != tokenizer.pad_token_id]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    for ending in stop:
        text = text.partition(ending)[0]
    if after:
        text = text.rpartition(after)[2]
    ended = len(kept) < max_new_tokens or kept[-1] == tokenizer.eos_token_id
    finish: Finish = "stop" if ended else "length"
    return Response(text.strip(), finish, input_tokens, len(kept))


def special_tokens(tokenizer: Any, *further: Any) -> re.Pattern[str]:
    """A pattern that finds every token with a meaning of its own (<image>, </s>, <|im_end|>, ...), and `further`."""
    words = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    words |= {*tokenizer.all_special_tokens, *(str(token) for token in further if token)}
    return re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)")


def defused(text: str, specials: re.Pattern[str]) -> str:
    """`text` with a zero-width space inside each special token, so that it is read as plain characters."""
    return specials.sub(lambda match: match[0][0] + "\u200b" + match[0][1:], text)
