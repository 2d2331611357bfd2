"""Which option an answer to a test question chooses. Tolerant in form, strict in what it says.

    "B"   "(b) Paris"   "**Answer:** B."   "It is not (A) but (B)."   "The capital is Paris."   ->  "B"
    "A or B"   "None of them"   "Hmm."   ->  None: nobody can tell, so it is neither right nor wrong

The first of these that says anything decides: a stated answer ("the answer is B", of several the last), a letter that
the reply begins with or consists of, a letter in brackets, a capital letter alone, the words of one option. Two letters
of one kind are no choice. MMMU's evaluation (github.com/MMMU-Benchmark/MMMU at bb0b95a9) takes the last of several, and
where it finds none it guesses at random; MME's looks for "yes" or "no" in the first four letters, so that "Not sure" is
a no, and counts anything else as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from mmsb.judge.thinking import final_answer

DECORATION = re.compile(r"[*_`$]|\\(?:boxed|text|mathrm|textbf)|[{}]")
# What is said against a letter before it, at most that many words away ("not option A", "cannot be the A") ...
DENIES = r"(?i:\b(?:not|never|neither|nor|cannot)|n[\u2019']t)(?:\s+(?!but\b)\w+){0,%d}\s*[(\[]?\Z"
DENIED, DENIED_OUTRIGHT = re.compile(DENIES % 2), re.compile(DENIES % 1)
# ... and behind it.
REJECTED = (
    r"(?!\)?,? (?:is|are|was|seems|looks|would be) (?:\w+ly )?(?:not|wrong|incorrect|false)\b)"
    r"(?!\)? (?:isn't|cannot|can't)\b)"
)
YES_NO = ("yes", "no")
YES_OR_NO = re.compile(r"\W*(?:yes\W+(?:(?:or|and)\W+)?no|no\W+(?:(?:or|and)\W+)?yes)\b", re.IGNORECASE)
BEGUN = re.compile(r"\A\W*(yes|no)\b", re.IGNORECASE)
STATED = re.compile(r"\b(?:answer|response)(?: is|:)*\W*(yes|no)\b", re.IGNORECASE)


def chosen(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that an answer chooses; None where it chooses none, or several.

    Args:
        text: the answer as the model gave it.
        options: their texts by letter; of yes-or-no questions "yes" and "no" stand for letters.
    """
    said = DECORATION.sub("", final_answer(text)).strip()
    ways = _words(said) if set(options) == set(YES_NO) else _letters(said, options)
    for found in ways:
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _words(said: str) -> Iterator[set[str]]:
    """What each way of saying yes or no finds. A "no" inside a sentence may deny anything, so it is none."""
    yield set(YES_NO) if YES_OR_NO.match(said) else set()
    for pattern in (BEGUN, STATED):
        yield {match.lower() for match in pattern.findall(said)[-1:]}


def _letters(said: str, options: Mapping[str, str]) -> Iterator[set[str]]:
    """What each way of choosing a letter finds, the clearest first."""
    forms = _forms("".join(options))
    stated = [match for match in forms.stated.finditer(said) if not _denied(match, said, DENIED_OUTRIGHT)]
    yield _with_next(stated[-1:], said, forms)
    begun = forms.begun.match(said)
    # A reply that begins by listing the options again has chosen none of them yet.
    yield _with_next([begun], said, forms) | set(forms.listed.findall(said)) if begun else set()
    for form in (forms.bracketed, forms.alone):
        yield {match[1] for match in form.finditer(said) if not _denied(match, said, DENIED)}
    yield set(_named(said, options))


class _Forms:
    """Patterns of a letter among `capitals`, in the ways that a reply may give it."""

    def __init__(self, capitals: str) -> None:
        small = capitals.lower()
        # "a" is mostly an article, and so is "A" before a small letter.
        article = r"A(?! (?!because\b|since\b|as\b|is\b|was\b|or\b|and\b)[a-z])"
        big = f"(?:{article}|[{capitals.replace('A', '')}])" if len(capitals) > 1 else article
        letter = rf"(?:\((?P<x>[{capitals}{small}])\)|(?P<y>{big})(?![\w'-])|(?P<z>[{small}])(?=[).:,]|\s*\Z))"
        said = (
            r"\b(?i:answer|choice|option|letter)(?i:s| is| are| would be| should be| must be| might be|:| the| letter"
            r"| option| choice| correct)*[:\s]*"
        )
        self.stated = re.compile(said + letter + REJECTED)
        self.begun = re.compile(
            rf"(?:[(\[](?P<x>[{capitals}{small}])[)\]]|(?P<y>[{capitals}{small}])(?=[).:,\n]|\s*\Z|\s+[-=]))(?P<z>)"
        )
        self.listed = re.compile(rf"(?m)^[(\[]?([{capitals}])[)\].:]")
        self.bracketed = re.compile(rf"\(([{capitals}])\){REJECTED}")
        self.alone = re.compile(rf"(?<![\w'.-])({big})(?![\w'-]){REJECTED}")
        self.another = re.compile(rf"\W*(?:or|and|/|,|&)\W*([{capitals}])(?![\w'])")


@lru_cache(maxsize=32)
def _forms(capitals: str) -> _Forms:
    return _Forms(capitals)


def _denied(match: re.Match[str], said: str, denies: re.Pattern[str]) -> bool:
    # No further back than a denial reaches: answers of 50 KB have hundreds of letters in brackets.
    return bool(denies.search(said[max(0, match.start() - 60) : match.start()]))


def _with_next(matches: list[re.Match[str]], said: str, forms: _Forms) -> set[str]:
    """The letters matched, and one that is named in the same breath: "B or C"."""
    found = {(match["x"] or match["y"] or match["z"]).upper() for match in matches}
    return found | {also[1] for match in matches if (also := forms.another.match(said, match.end()))}


def _named(said: str, options: Mapping[str, str]) -> Iterator[str]:
    """The options whose words stand in the answer, but for those that are part of another's that stands there."""
    there = {letter: text for letter, text in options.items() if _holds(said, text)}
    for letter, text in there.items():
        if not any(other != text and _holds(other, text) for other in there.values()):
            yield letter


def _holds(said: str, text: str) -> bool:
    words = DECORATION.sub("", text).strip(" .")
    pattern = rf"(?<!\w)(?<!\w[.,]){re.escape(words)}(?!\w)(?![.,]\w)"
    return bool(words) and bool(re.search(pattern, said, re.IGNORECASE))
