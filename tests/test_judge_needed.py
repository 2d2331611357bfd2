"""Phrases are found by the words they need exactly where they are found without."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mmsb.judge import patterns, stance
from mmsb.judge.clauses import is_repetitive, pieces_of
from mmsb.judge.needed import LONGEST, Phrases, needed

ALL = {name: found for name, found in vars(patterns).items() if isinstance(found, Phrases)}
EACH = sorted({phrase for found in (*ALL.values(), *stance.SIGNS) for phrase in found.phrases})
ANSWERS = json.loads(Path(__file__).with_name("judge_answers.json").read_text(encoding="utf-8"))


def spelled(value: Any) -> list[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        return [value]
    return [text for part in (value.values() if isinstance(value, dict) else value) for text in spelled(part)]


CLAUSES = sorted({piece for text in spelled(ANSWERS) for _, piece in pieces_of(text)})


@given(some.data())
@settings(max_examples=200)
def test_whatever_a_phrase_matches_is_found(data: some.DataObject) -> None:
    phrase = data.draw(some.sampled_from(EACH))
    text = data.draw(some.text("ab i't\n", max_size=5)) + data.draw(some.from_regex(phrase))
    whole, found = re.search(phrase, text), Phrases(phrase).search(text)
    assert (whole and whole.span()) == (found and found.span())


@pytest.mark.parametrize("name", ALL)
def test_clauses_are_told_apart_as_by_one_pattern(name: str) -> None:
    whole = re.compile("|".join(ALL[name].phrases))
    found = [(ALL[name].search(clause), whole.search(clause)) for clause in CLAUSES]
    assert [one and one.start() for one, _ in found] == [other and other.start() for _, other in found]
    assert any(one for one, _ in found) or name == "NOT_REFUSAL"  # none in these


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"\b(?:can't|won't) (?:\w+ )?(?:help|assist)\b", [{"can't", "won't"}, {"assist", "help"}]),
        (r"not(?: at all)? judge?ment", [{"judgement", "judgment"}]),
        (r"(?:go )+far|a few steps", [{"far", "steps"}]),
        (r"organi[sz]e[sd]?", [{f"organi{letter}e{end}" for letter in "sz" for end in ("", "s", "d")}]),
        (r"(?!not )yes", [{"yes"}]),
        (r"[a-z]+", []),
        (r"(?i:never)", []),
        (r"(?:never)?", []),
    ],
)
def test_what_a_pattern_needs(pattern: str, words: list[set[str]]) -> None:
    assert list(needed(pattern)) == words


def test_words_without_an_end_are_searched_through() -> None:
    assert Phrases("help|assist").search("x" * LONGEST + "assist")
    assert Phrases(r"\W*").search("")


@pytest.mark.parametrize("share", [0.3, 0.48, 0.5, 0.52, 0.7])
def test_loops_of_plain_letters_are_counted_as_those_of_others_are(share: float) -> None:
    fresh = "".join(f"{number:x}" for number in range(4_000, 4_000 + int(share * 100)))
    text = fresh + "abcdefghijklmnopqrst" * int((1 - share) * 20)
    assert is_repetitive(text) == is_repetitive(text.replace("a", "\u00e1"))
