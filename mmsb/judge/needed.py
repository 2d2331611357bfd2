"""Patterns that are searched for only in texts that hold what each of their matches holds.

    >>> [sorted(words) for words in needed("(?:can't|won't) (?:[a-z]+ )?(?:help|assist)")]
    [["can't", "won't"], ['assist', 'help']]

Most sentences hold no word of a phrase. To see that takes a look at each word, for all phrases at once, and words come
again: a tenth of what searching takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache, reduce
from operator import or_

# What compiles patterns takes them apart here, so that both read them alike.
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from mmsb.judge.languages import WORDS

MANY, FEW = 64, 4  # strings that a part of a pattern may be, told apart; signs of a set, likewise
SETS = 3  # of words that are looked for, for one pattern
KNOWN = 65_536  # words that are remembered
LONGEST = 40  # letters of a word that is looked into
EVERYTHING = -1  # what a word may hold that is not looked into
Strings = frozenset[str]
EMPTY: Strings = frozenset(("",))
Search = Callable[[str], re.Match[str] | None]


class Phrases:
    """Alternative patterns for texts in lower case, each compiled once it may occur: all take a tenth of a second."""

    def __init__(self, *phrases: str) -> None:
        """Nothing is compiled yet."""
        self.phrases = phrases

    @cached_property
    def _marked(self) -> list[tuple[int, Search]]:
        return [(_WORDS.expect(needed(phrase)), _compiled_late(phrase)) for phrase in self.phrases]

    def search(self, text: str) -> re.Match[str] | None:
        """The match that begins first."""
        marked, first = self._marked, None
        lacking = ~marks(text)
        for mark, search in marked:
            if not mark & lacking and (match := search(text)) and (first is None or match.start() < first.start()):
                first = match
        return first


def _compiled_late(pattern: str) -> Search:
    compiled: list[Search] = []

    def search(text: str) -> re.Match[str] | None:
        if not compiled:
            compiled.append(re.compile(pattern).search)
        return compiled[0](text)

    return search


class _Words(dict[str, int]):
    """By word, which sets of words (or parts of words) it holds one of: a bit for each set."""

    def __init__(self) -> None:
        self._bits: dict[Strings, int] = {}
        self._parts: dict[str, int] = {}
        self._lengths = range(0)

    def expect(self, sets: Iterable[Strings]) -> int:
        """Look for these from now on; gives the bits of all of them."""
        for words in sets:
            if words not in self._bits:
                bit = self._bits[words] = 1 << len(self._bits)
                self._parts |= {word: self._parts.get(word, 0) | bit for word in words}
                self._lengths = range(min(map(len, self._parts)), max(map(len, self._parts)) + 1)
                self.clear()
                marks.cache_clear()
        return reduce(or_, (self._bits[words] for words in sets), 0)

    def __missing__(self, word: str) -> int:
        if len(word) > LONGEST:  # no spaces, or an attack: to look at each of its parts would take long
            return EVERYTHING
        if len(self) >= KNOWN:
            self.clear()
        parts = (word[at : at + length] for length in self._lengths for at in range(len(word) - length + 1))
        found = self[word] = reduce(or_, (self._parts.get(part, 0) for part in parts), 0)
        return found


@lru_cache(maxsize=1_024)  # each clause is looked through for some twenty phrases
def marks(text: str) -> int:
    """Which of the sets a text holds a word of: a bit for each."""
    return reduce(or_, map(_WORDS.__getitem__, text.split()), 0)


def needed(pattern: str) -> Sequence[Strings]:
    """Sets of words, or parts of words: each match of a pattern holds one of each set."""
    return _rarest(_strings(_parser.parse(pattern)))[:SETS]


def _rarest(sets: Iterable[Strings]) -> list[Strings]:
    """Sets of strings as sets of words, the least frequent first; without those that say nothing."""
    # A text is looked through word by word, so of each string its longest word counts.
    words = (frozenset(max(string.split(), key=len, default="") for string in strings) for strings in sets)
    return sorted((found for found in words if "" not in found), key=_frequent)


def _frequent(words: Strings) -> float:
    """How often a sentence holds one of them, about: minus the logarithm of the chance that it holds none."""
    return sum(map(_weight, words))


def _weight(word: str) -> float:
    if len(word) < 3:  # they occur inside of others
        return 7.0 if len(word) == 1 else 2.3
    return 0.4 if word in WORDS["en"] else 0.1 if len(word) == 3 else 0.01


def _strings(sequence: Any) -> Iterator[Strings]:
    """Sets of strings: each match of a sequence holds one of each."""
    run = EMPTY  # what stands side by side
    for name, value in ((str(code), value) for code, value in sequence):
        exact = _exact(name, value)
        if exact is not None and len(run) * len(exact) <= MANY:
            run = _joined(run, exact)
            continue
        yield run
        run = EMPTY if exact is None else exact
        yield from _inside(name, value) if exact is None else ()
    yield run


def _inside(name: str, value: Any) -> Iterator[Strings]:
    """Likewise of a part, where it matches more than can be told apart."""
    if (name == "SUBPATTERN" and not value[1]) or (name in ("MAX_REPEAT", "MIN_REPEAT") and value[0] > 0):
        yield from _strings(value[-1])
    elif name == "BRANCH":
        best = [_rarest(_strings(branch))[:1] for branch in value[1]]
        if all(best):
            yield frozenset[str]().union(*(words for [words] in best))


def _exact(name: str, value: Any) -> Strings | None:
    """All strings that a part matches; None where they are many, or not known."""
    if name == "LITERAL":
        return frozenset((chr(value),))
    if name in ("AT", "ASSERT", "ASSERT_NOT"):  # they take up nothing; what they forbid only makes matches fewer
        return EMPTY
    if name == "IN" and len(value) <= FEW and all(str(kind) == "LITERAL" for kind, _ in value):
        return frozenset(chr(letter) for _, letter in value)
    if name == "SUBPATTERN" and not value[1]:  # flags of its own: it may ignore case
        return _whole(value[-1])
    if name == "BRANCH":
        return _united(map(_whole, value[1]))
    if name in ("MAX_REPEAT", "MIN_REPEAT") and value[1] == 1:
        return _united((_whole(value[-1]), EMPTY)) if value[0] == 0 else _whole(value[-1])
    return None


def _whole(sequence: Any) -> Strings | None:
    run = EMPTY
    for code, value in sequence:
        exact = _exact(str(code), value)
        if exact is None or len(run) * len(exact) > MANY:
            return None
        run = _joined(run, exact)
    return run


def _joined(run: Strings, more: Strings) -> Strings:
    return frozenset(first + second for first in run for second in more)


def _united(sets: Iterable[Strings | None]) -> Strings | None:
    union = frozenset[str]()
    for strings in sets:
        if strings is None or len(union | strings) > MANY:
            return None
        union |= strings
    return union


_WORDS = _Words()
