"""What a trained reading sees of an answer: the words that any answer may hold, in their order.

    >>> tokens("I can't help with that.")
    ['i', 'can', 'not', 'help', 'with', 'that', '.']

Words of the topic do not carry over to another model or another question, so a word outside a closed list becomes one
sign, and a word that the question holds another. Runs of one to three of them are hashed, apart for the opening, for
the end and for the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmsb.judge.clauses import straight

Hashes = NDArray[np.uint32]

TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[.!?:;,*#\n\"(]|[^\W\d_]+")
WHOLE = {
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "won't": ("will", "not"),
    "let's": ("let", "us"),
}
ENDS = {"'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would", "'s": "is"}
UNKNOWN, ASKED, DIGITS = 1, 2, 3  # a word outside the list, a word of the question, a number
FIRST_WORD = 4
OPENING, CLOSING, MOST = 32, 28, 1_200  # tokens
HEAD_CHARACTERS, TAIL_CHARACTERS, BODY_CHARACTERS = 160, 80, 600
FACTORS = tuple(np.uint32(factor) for factor in (2_654_435_761, 2_246_822_519, 3_266_489_917, 668_265_263))


def tokens(text: str) -> list[str]:
    """Words in lower case, contractions in full, and the signs that order a text."""
    plain = straight(text).lower()
    if "'" not in plain and "cannot" not in plain:
        return TOKEN.findall(plain)
    found: list[str] = []
    for token in TOKEN.findall(plain):
        if "'" not in token:
            found.extend(WHOLE.get(token, (token,)))
        elif token in WHOLE:
            found.extend(WHOLE[token])
        elif token.endswith("n't"):
            found += (token[:-3], "not")
        else:
            stem, end = token.split("'", 1)
            found += (stem, ENDS.get(f"'{end}", end))
    return found


def numbered(words: Sequence[str], lexicon: Mapping[str, int], asked: frozenset[str]) -> NDArray[np.uint32]:
    """Each token's number: the word's own in the list, else one for all words of the question, one for all others."""
    return np.array(
        [lexicon.get(word) or (ASKED if word in asked else DIGITS if word.isdigit() else UNKNOWN) for word in words],
        dtype=np.uint32,
    )


def content_words(question: str, lexicon: Mapping[str, int]) -> frozenset[str]:
    """The words of a question that are not in the list: what it is about."""
    return frozenset(word for word in tokens(question) if word not in lexicon and word.isalpha())


def hashes(numbers: NDArray[np.uint32]) -> Hashes:
    """The distinct hashed runs of one to three tokens: of the opening, of the end, of the whole.

    Args:
        numbers: [n] of an answer's tokens.

    Returns:
        Sorted, distinct hashes.
    """
    # Both ends: refusals stand at the beginning, and second thoughts at the end.
    numbers = numbers if len(numbers) <= MOST else np.concatenate([numbers[: MOST // 2], numbers[-MOST // 2 :]])
    parts = [numbers[:OPENING], numbers[-CLOSING:], numbers]
    runs = [_runs(part, np.uint32((place * 7 + 1) * 668_265_263 % 2**32)) for place, part in enumerate(parts)]
    # With their place: "I" as the first word says more than anywhere else.
    first = numbers[:6]
    placed = (first * FACTORS[0] + np.arange(len(first), dtype=np.uint32) * FACTORS[3]) ^ np.uint32(0x5BD1E995)
    return _distinct(np.concatenate([_mixed(np.concatenate([run for each in runs for run in each])), placed]))


def _runs(part: NDArray[np.uint32], place: np.uint32) -> tuple[Hashes, Hashes, Hashes]:
    """Runs of one, two and three tokens, each hashed with its place, but for the mixing."""
    one = part * FACTORS[0] + place
    two = (one[:-1] ^ (part[1:] * FACTORS[1])) * FACTORS[2] + np.uint32(1)
    three = (two[:-1] ^ (part[2:] * FACTORS[2])) * FACTORS[1] + np.uint32(2)
    return one, two, three


def _distinct(values: Hashes) -> Hashes:
    """As `numpy.unique`, which takes three times as long for so few."""
    values.sort()
    new = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint32(15))) * FACTORS[1]
    return values ^ (values >> np.uint32(13))


def characters(text: str) -> Hashes:
    """The distinct hashed runs of two to four characters at an answer's ends, and of four to six further in.

    Args:
        text: in lower case.
    """
    ends = text if len(text) <= HEAD_CHARACTERS + TAIL_CHARACTERS else text[:HEAD_CHARACTERS] + text[-TAIL_CHARACTERS:]
    found = [*_character_runs(ends, 2, 4, 0), *_character_runs(text[:BODY_CHARACTERS], 4, 6, 1)]
    return _distinct(np.concatenate(found))


def _character_runs(part: str, shortest: int, longest: int, place: int) -> list[Hashes]:
    points = np.frombuffer(f" {part} ".encode("utf-32-le", "replace"), dtype=np.uint32)
    found = []
    run = points * FACTORS[0] + np.uint32(place)
    for length in range(2, min(longest, len(points)) + 1):
        run = (run[: len(points) - length + 1] ^ (points[length - 1 :] * FACTORS[1])) * FACTORS[2]
        if length >= shortest:
            found.append(_mixed(run + np.uint32(length)))
    return found
