"""Where each answer of a shelf lies, by key: 24 bytes an answer, so that a million take little.

What is new stands in a dictionary; once that is large it goes into sorted columns, which are searched by halves. There
are several parts of them, by how keys begin: to take something in, a column is written anew, beside what it was. Of a
key its first 16 digits and its last 8 are kept there; who reads an answer sees that the whole key is its own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby, islice
from typing import NamedTuple

from mmsb.pieces import LENGTH_BITS

RECENT = 32_768  # answers in the dictionary at most, of some 200 bytes each
FEW = 4_096  # that are not worth sorting
HALF = 64  # bits of a key
PART = 2 * HALF - 4  # bits that the keys of a part do not share
REST = (1 << 32) - 1
LENGTH = (1 << LENGTH_BITS) - 1


class Columns(NamedTuple):
    """Keys and places in two parts each, by the first half of the key."""

    high: array[int]
    low: array[int]
    starts: array[int]
    lengths: array[int]


def _nothing() -> list[Columns]:
    return [Columns(array("Q"), array("I"), array("Q"), array("I")) for _ in range(1 << 2 * HALF - PART)]


class Index:
    """Places by key (32 hex digits). The first place of a key counts. One thread adds, any may look."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._recent: dict[int, int] = {}
        self._parts = _nothing()

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        self._settle()
        return sum(len(part.high) for part in self._parts)

    def get(self, key: str) -> int | None:
        """The place of a key's answer."""
        number = int(key, 16)
        # In this order: what moves from the one to the other meanwhile is then seen in both, and not in neither.
        recent = self._recent
        found = self._found(number)
        return recent.get(number) if found is None else found

    def _found(self, number: int) -> int | None:
        high, low, starts, lengths = self._parts[number >> PART]
        first, second = number >> HALF, number & REST
        at = bisect_left(high, first)
        while at < len(high) and high[at] == first:
            if low[at] == second:
                return starts[at] << LENGTH_BITS | lengths[at]
            at += 1
        return None

    def add(self, key: str, place: int) -> None:
        """Take in an answer."""
        self._recent.setdefault(int(key, 16), place)
        if len(self._recent) >= RECENT:
            self._settle()

    def compact(self) -> None:
        """Take little memory from here on: many were added, and few will be."""
        if len(self._recent) > FEW:
            self._settle()

    def some(self, every: int) -> Iterator[int]:
        """One of so many places, in an order that has to do with nothing."""
        self._settle()
        for part in self._parts:
            for start, length in islice(zip(part.starts, part.lengths, strict=True), 0, None, every):
                yield start << LENGTH_BITS | length

    def clear(self) -> None:
        """Forget all."""
        self._recent, self._parts = {}, _nothing()

    def _settle(self) -> None:
        """Sort what is recent in."""
        for number, keys in groupby(sorted(self._recent), key=lambda key: key >> PART):
            self._parts[number] = self._joined(self._parts[number], list(keys))
        self._recent = {}

    def _joined(self, part: Columns, keys: list[int]) -> Columns:
        """A part, and recent keys of its own."""
        import numpy

        places = [self._recent[key] for key in keys]
        more = Columns(
            array("Q", [key >> HALF for key in keys]),
            array("I", [key & REST for key in keys]),
            array("Q", [place >> LENGTH_BITS for place in places]),
            array("I", [place & LENGTH for place in places]),
        )
        old, firsts = numpy.asarray(part.high), numpy.asarray(more.high)
        at, end = numpy.searchsorted(old, firsts), numpy.searchsorted(old, firsts, side="right")
        new = numpy.ones(len(keys), bool)
        for place in numpy.flatnonzero(at != end):  # the first half is there already: the whole key, as a rule
            new[place] = self._found(keys[place]) is None
        return Columns(
            *(
                array(
                    column.typecode, numpy.insert(numpy.asarray(column), at[new], numpy.asarray(others)[new]).tobytes()
                )
                for column, others in zip(part, more, strict=True)
            )
        )
