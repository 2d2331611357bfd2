"""How likely a guard found each of its words, from the probabilities of its tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from mmsb.types import How

Position = tuple[str, Mapping[str, float]]
LIKELIEST = 20  # tokens in each place: the most that vLLM and OpenAI give by default
DIGITS = 8


def chances(positions: Iterable[Position], how: How) -> dict[str, float] | None:
    """The probability of each of `how.words` where the reply comes to say one of them.

    A word may be cut into several tokens: what counts for it is every token that it begins with.

    Args:
        positions: the reply's tokens in order, each with the natural log-probabilities of the likeliest in its place.
        how: which words, and what stands before them.

    Returns:
        Probabilities in [0, 1], which need not sum to 1; None where the reply says none of the words there.
    """
    said = ""
    for token, likely in positions:
        if re.fullmatch(how.before, said) and any(_begins(word, token) for word in how.words):
            return {
                word: round(sum(math.exp(value) for other, value in likely.items() if _begins(word, other)), DIGITS)
                for word in how.words
            }
        said += token
    return None


def _begins(word: str, token: str) -> bool:
    letters = re.sub(r"\W", "", token).lower()
    return bool(letters) and word.startswith(letters)
