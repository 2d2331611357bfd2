"""How likely a guard found each of its words, from the probabilities of its tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from mmsb.types import How

# Pairs, not a mapping: with the tokenizers of Llama 2 and Mistral "no" at the start of a word and inside one are two
# tokens that read the same, and a mapping would keep only the less likely of them.
Likely = Iterable[tuple[str, float | None]]  # None where a server writes no number: minus infinity is none in JSON
Position = tuple[str, Likely]
LIKELIEST = 20  # tokens in each place: the most that vLLM and OpenAI give by default
UNSEEN = 0.01  # of what the listed words have: the most that one may have among the tokens that were not listed
ROUNDED = 1e-3  # a log-probability of half precision may be that far above 0
DIGITS = 8
SPACES = str.maketrans({"\u0120": " ", "\u010a": "\n", "\u2581": " "})  # as byte-level BPE and SentencePiece write them


def chances(positions: Iterable[Position], how: How, text: str) -> dict[str, float] | None:
    """The probability of each of `how.words` where the reply comes to say one of them.

    A word may be cut into several tokens: what counts for it is every token that it begins with.

    Args:
        positions: the reply's tokens in order, each with the natural log-probabilities of the likeliest in its place.
        how: which words, and what stands before them.
        text: the reply; its tokens may be more, as thinking that a server keeps apart.

    Returns:
        Probabilities in [0, 1], which need not sum to 1; None where the reply says none of the words there, where too
        few tokens are listed to tell, or where the tokens are not the reply's.
    """
    listed, said = list(positions), ""
    if _written(text) not in _written("".join(token for token, _ in listed)):
        return None
    for number, (token, likely) in enumerate(listed):
        # The first such place: a guard that goes on to explain itself says its words again.
        if re.fullmatch(how.before, said) and any(_begins(word, token) for word in how.words):
            spoken = "".join(piece.translate(SPACES) for piece, _ in listed[number:])
            if not _says(spoken, how.words):
                return None
            listing = [(other, value) for other, value in likely if value is not None]
            # A server that writes probabilities in their place, or anything else above 0, has given none; nor has one
            # whose list is of another place.
            if any(value > ROUNDED for _, value in listing) or token not in dict(listing):
                return None
            return _summed([(other, math.exp(value)) for other, value in listing], how.words)
        said += token.translate(SPACES)
    return None


def _written(text: str) -> str:
    """Its letters and digits of ASCII: what tokens that were decoded one by one keep of a text, whatever made them."""
    return re.sub("[^a-z0-9]", "", text.lower())


def _says(spoken: str, words: tuple[str, ...]) -> bool:
    """Whether a text begins with one of the words, or ends within one."""
    # The first piece of "N/A", or of "Nothing", is that of "no" as well.
    found = re.match(r"\W*(\w+)", spoken.lower())
    if found is None:
        return False
    return found[1] in words or (found.end() == len(spoken) and any(word.startswith(found[1]) for word in words))


def _summed(likely: list[tuple[str, float]], words: tuple[str, ...]) -> dict[str, float] | None:
    found = {word: [chance for other, chance in likely if _begins(word, other)] for word in words}
    # A server that lists one or two tokens leaves the other word out: that is not a probability of zero. What is not
    # listed is no likelier than the last that is, nor than what is left of 1.
    # Rounding may bring the sum above 1; what is left is then below 0, which the comparison takes as nothing.
    left = min(1 - sum(chance for _, chance in likely), min((chance for _, chance in likely), default=1.0))
    summed = {word: sum(seen) for word, seen in found.items()}
    if not all(found.values()) and left > UNSEEN * sum(summed.values()):
        return None
    return {word: round(chance, DIGITS) for word, chance in summed.items()}


def _begins(word: str, token: str) -> bool:
    letters = re.sub(r"\W", "", token.translate(SPACES)).lower()
    # A token without letters begins every word; a blank or a bracket would add its chance to all of them.
    return bool(letters) and word.startswith(letters)
