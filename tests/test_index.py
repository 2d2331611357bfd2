"""The index of a shelf against a dictionary, with so few recent answers that most lie in the sorted columns."""

from __future__ import annotations

import random

import pytest

from mmsb import index
from mmsb.index import Index


def test_an_index_is_a_dictionary_in_which_the_first_place_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "RECENT", 8)
    monkeypatch.setattr(index, "FEW", 2)
    chance, known, made = random.Random(0), dict[str, int](), Index()
    # Few different first halves, so that many keys share one.
    keys = [f"{chance.randrange(5) << 120 | chance.randrange(40):032x}" for _ in range(600)]
    for number, key in enumerate(keys):
        place = number << 76 | number * 1000 << 32 | number + 1
        known.setdefault(key, place)
        made.add(key, place)
        assert made.get(chance.choice(keys[: number + 1])) is not None
        if number % 100 == 0:
            made.compact()
    assert {key: made.get(key) for key in known} == known
    assert len(made) == len(known)
    assert sorted(made.some(1)) == sorted(known.values())
    assert len(list(made.some(10))) == -(-len(known) // 10)
    assert "f" * 32 not in made
    made.clear()
    assert (len(made), keys[0] in made) == (0, False)
