"""Words to learn reading from: those of the embedded question sets, those of Python's own manual, and made-up ones."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pydoc_data.topics import topics

from mmsb.paths import PACKAGE

ONSETS = (
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p ph pl pr qu r s sc sh sk sl sm sn sp st str sw t th tr tw v "
    "w wh y z"
)
VOWELS = "a e i o u ai ea ee ie oa oo ou y au"
CODAS = "b ck d f g k l ll m n nd ng nk nt p r rd rk rm rn rt s ss st t th x ze"
ENDINGS = "ing ed er ers ly tion ment ness able ful less s es ive al ous ity"
DATASETS = PACKAGE / "dataset"


@cache
def records(dataset: str) -> dict[str, dict[str, dict[str, str]]]:
    """The question files of an embedded dataset: scenario -> id -> the authors' fields."""
    files = sorted((DATASETS / dataset / "processed_questions").glob("*.json"))
    return {file.stem: json.loads(file.read_text("utf-8")) for file in files}


@cache
def embedded() -> tuple[str, ...]:
    """The embedded sets' key phrases."""
    return tuple(r["Key Phrase"] for name in ("demo", "benign") for s in records(name).values() for r in s.values())


@cache
def known() -> tuple[str, ...]:
    """The words of the embedded sets' key phrases."""
    return tuple(sorted({word for phrase in embedded() for word in phrase.split()}))


@cache
def manual() -> tuple[str, ...]:
    """The English words of Python's language manual, lower case."""
    return tuple(sorted(set(re.findall(r"\b[a-z]{2,12}\b", " ".join(topics.values())))))


def syllable(rng: random.Random) -> str:
    """Consonants, vowels and perhaps consonants."""
    return rng.choice(ONSETS.split()) + rng.choice(VOWELS.split()) + rng.choice(CODAS.split()) * rng.randrange(2)


def invented(rng: random.Random) -> str:
    """A word nobody has seen, so that reading does not become guessing."""
    syllables = [syllable(rng)]
    while rng.random() < 0.4 and len(syllables) < 3:
        syllables.append(syllable(rng))
    return "".join(syllables) + (rng.choice(ENDINGS.split()) if rng.random() < 0.25 else "")


def word(rng: random.Random) -> str:
    """A word; now and then with a capital, a number or a mark."""
    draw = rng.random()
    text = rng.choice(known()) if draw < 0.4 else rng.choice(manual()) if draw < 0.7 else invented(rng)
    if rng.random() < 0.1:
        text = text.capitalize() if rng.random() < 0.8 else text.upper()
    if rng.random() < 0.03:
        text = rng.choice(
            [str(rng.randrange(2100)), text + rng.choice(",.!?:;'-"), f'"{text}"', f"({text})", f"{text}-{text}"]
        )
    return text


def phrase(rng: random.Random) -> str:
    """Two to six words, at most 38 characters: a key phrase's length."""
    words = [word(rng) for _ in range(rng.choice([2, 3, 3, 4, 4, 4, 5, 5, 6]))]
    if rng.random() < 0.3:
        words[0] = rng.choice(["a", "the", "an"])
    while len(" ".join(words)) > 38 and len(words) > 1:
        words.pop()
    return " ".join(words)
