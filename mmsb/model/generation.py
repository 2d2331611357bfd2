"""What every local model shares around transformers' `generate`: its arguments, and the way back to text."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mmsb.model.chances import LIKELIEST, chances
from mmsb.model.loaded import KEPT_LOADED
from mmsb.types import Finish, How, Response

# Special tokens that tell thinking from an answer: of Mistral, Command A, Gemma 4, gpt-oss, Apertus, Solar Open.
THOUGHT = re.compile(
    r"\[/?THINK\]|</?think>|<\|(?:START|END)_(?:THINKING|RESPONSE)\|>|<\|channel>|<channel\|>|<\|inner_(?:pre|suf)fix\|>"
    r"|<\|(?:channel|message|think|content)\|>"
)
BETWEEN = re.compile(r"<\|(?:start|end|begin|constrain)\|>")  # a part of these formats, and in others no thinking


def arguments(
    generation: Mapping[str, Any], max_new_tokens: int, stop: Sequence[str], tokenizer: Any
) -> dict[str, Any]:
    """Arguments of `generate`: greedy unless the settings say otherwise, whatever the checkpoint's defaults."""
    # Said outright: a checkpoint's own generation_config samples in many models.
    settled = {"do_sample": False, **generation, "max_new_tokens": max_new_tokens}
    if not settled["do_sample"]:
        # transformers warns of a checkpoint's sampling values under greedy search.
        settled |= {"temperature": None, "top_p": None, "top_k": None}
    if stop:
        settled |= {"stop_strings": list(stop), "tokenizer": twin(tokenizer)}
    return settled


@lru_cache(maxsize=KEPT_LOADED)
def twin(tokenizer: Any) -> Any:
    """A copy for `generate`, which calls it: a call sets the padding that the thread of the next inputs relies on."""
    return copy.deepcopy(tokenizer)


@contextmanager
def known_penalty(embedded: bool = True) -> Iterator[None]:
    """Silence the notice that a repetition penalty counts only new tokens where embeddings are given: so it should."""
    # Not where it cannot come: the switch is one for all threads.
    if not embedded:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Passing `repetition_penalty`")
        yield


def response(
    tokenizer: Any, ids: Sequence[int], input_tokens: int, max_new_tokens: int, stop: Sequence[str], after: str = ""
) -> Response:
    """New tokens as an answer: padding dropped, cut at the first stop string and behind the last `after`."""
    # Where padding is the end token, the end goes too: such an answer is then shorter than the longest, and ended.
    kept = [token for token in ids if token != tokenizer.pad_token_id]
    text = _decoded(tokenizer, kept)
    for ending in stop:
        text = text.partition(ending)[0]
    if after:
        text = text.rpartition(after)[2]
    ended = len(kept) < max_new_tokens or kept[-1] == tokenizer.eos_token_id
    finish: Finish = "stop" if ended else "length"
    return Response(text.strip(), finish, input_tokens, len(kept))


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    """Tokens as text, without special ones but for those that set thinking apart."""
    special = {token: name for token, name in _special(tokenizer).items() if token in ids}
    # Left out, they would leave the thoughts in front of the answer, and who judges it could not tell them apart.
    if not any(THOUGHT.fullmatch(name) for name in special.values()):
        return str(tokenizer.decode(ids, skip_special_tokens=True))
    dropped = {token for token, name in special.items() if not (THOUGHT.fullmatch(name) or BETWEEN.fullmatch(name))}
    return str(tokenizer.decode([token for token in ids if token not in dropped], skip_special_tokens=False))


@lru_cache(maxsize=KEPT_LOADED)
def _special(tokenizer: Any) -> Mapping[int, str]:
    """The names of the tokens that are left out of texts, by their numbers."""
    # Of both kinds: a checkpoint may call a token special without giving it a part, and it is left out all the same.
    named = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    return dict(named) | {number: one.content for number, one in tokenizer.added_tokens_decoder.items() if one.special}


def asked(settled: dict[str, Any], how: How) -> dict[str, Any]:
    """Arguments of `generate`, and what a guard's way of asking changes in them."""
    if how.max_tokens:
        settled = settled | {"max_new_tokens": how.max_tokens}
    if how.words:
        # Logits, not scores: these have passed penalties and temperature, and are not what the guard believes.
        settled = settled | {"return_dict_in_generate": True, "output_logits": True}
    return settled


def read_output(
    tokenizer: Any,
    output: Any,
    start: int,
    counts: Sequence[int],
    settled: Mapping[str, Any],
    stop: Sequence[str],
    how: How,
) -> list[Response]:
    """What `generate` gave for a batch, as answers.

    Args:
        tokenizer: reads tokens.
        output: token ids [prompts, tokens], or what holds them and the logits of the new ones.
        start: where the new tokens begin.
        counts: of input tokens, of each prompt.
        settled: the arguments of `generate`.
        stop: what ends an answer.
        how: how it was asked.
    """
    sequences = output.sequences if how.words else output
    new = [ids[start:] for ids in sequences.tolist()]
    answers = [
        response(tokenizer, ids, count, settled["max_new_tokens"], stop) for ids, count in zip(new, counts, strict=True)
    ]
    if not how.words:
        return answers
    return [
        with_chances(tokenizer, answer, ids, _logits(output.logits, number), how)
        for number, (answer, ids) in enumerate(zip(answers, new, strict=True))
    ]


def _logits(steps: Sequence[Any], number: int) -> Any:
    """The logits of one prompt [tokens, vocabulary]."""
    import torch

    return torch.stack([step[number] for step in steps])


def with_chances(tokenizer: Any, answer: Response, ids: Sequence[int], logits: Any, how: How) -> Response:
    """An answer with the probabilities of the words that were wanted.

    Args:
        tokenizer: reads tokens.
        answer: the answer.
        ids: its tokens, with padding.
        logits: [tokens, vocabulary], of its tokens.
        how: which words.
    """
    import torch

    # As many as an endpoint lists: the same guard gives the same chances wherever it runs.
    likeliest = torch.log_softmax(logits.float(), dim=-1).topk(min(LIKELIEST, logits.shape[-1]), dim=-1)
    places = zip(ids, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
    positions = (
        (tokenizer.decode([said]), zip(map(tokenizer.decode, others), values, strict=True))
        for said, others, values in places
    )
    return replace(answer, chances=chances(positions, how, answer.text))


def special_tokens(tokenizer: Any, *further: Any) -> re.Pattern[str]:
    """A pattern that finds every token with a meaning of its own (<image>, </s>, <|im_end|>, ...), and `further`."""
    words = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    # The longest first, or the pattern would take `<s>` out of a longer token.
    words |= {*tokenizer.all_special_tokens, *(str(token) for token in further if token)}
    return re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)")


def defused(text: str, specials: re.Pattern[str]) -> str:
    """`text` with a zero-width space inside each special token, so that it is read as plain characters."""
    return specials.sub(lambda match: match[0][0] + "\u200b" + match[0][1:], text)
