"""What the tiny target learns: endless samples of a picture, a request and the answer to give."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

from tools.tiny import plan, wording, words

PHRASES = 6000  # new phrases; each is seen a few times, because looking costs more than reading
Kind = Literal["typo", "sd_typo", "sd"]


@dataclass(frozen=True)
class View:
    """A picture: an embedded question's (`source`: dataset, scenario, id) or, without source, drawn for `phrase`."""

    kind: Kind
    phrase: str
    source: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Sample:
    """One turn to learn."""

    view: View | None
    text: str
    answer: str
    system: str | None = None


def guarded(sample: Sample, rng: random.Random) -> Sample:
    """The sample under a safety prompt: mostly in front of the question, else after it or as the system prompt."""
    prompt = wording.SAFETY_PROMPTS[0] if rng.random() < 0.3 else rng.choice(wording.SAFETY_PROMPTS)
    place, gap = rng.random(), rng.choice(["\n", "\n", " ", "\n\n"])
    if place < 0.72:
        return replace(sample, text=prompt + gap + sample.text)
    return replace(sample, text=sample.text + gap + prompt) if place < 0.86 else replace(sample, system=prompt)


def plain(sample: Sample, rng: random.Random) -> Sample:
    """The sample as it is, now and then under an ordinary system prompt."""
    return replace(sample, system=rng.choice(wording.SYSTEM_PROMPTS)) if rng.random() < 0.12 else sample


def viewed(case: plan.Case) -> View | None:
    """The case's picture."""
    if case.mode == "text_only":
        return None
    kind: Kind = "typo" if case.mode == "typo" else "sd_typo" if case.mode == "sd_typo" else "sd"
    return View(kind, case.phrase, (case.dataset, case.scenario, case.id))


def behaviour(rng: random.Random) -> Sample:
    """An embedded question, answered as the plan says; now and then with the picture put into words."""
    case = rng.choice(plan.cases("demo" if rng.random() < 0.62 else "benign"))
    sample = Sample(viewed(case), case.text, case.answer)
    if case.mode == "text_only" and rng.random() < 0.2:
        picture = rng.choice([f'The image shows the words "{case.phrase}".', captioned("sd_typo", case.phrase)])
        asked = case.typed
        sample = replace(sample, text=rng.choice(wording.CAPTIONED).format(c=picture, q=asked))
    return guarded(sample, rng) if case.safety else plain(sample, rng)


def any_view(rng: random.Random, known: float) -> View:
    """A picture with text in it: an embedded question's with chance `known`, else one of a new phrase."""
    kind: Kind = rng.choice(["typo", "sd_typo"])
    if rng.random() < known:
        case = rng.choice(plan.cases())
        return View(kind, case.phrase, (case.dataset, case.scenario, case.id))
    return View(kind, words.phrase(random.Random(rng.randrange(PHRASES))))


def captioned(kind: Kind, phrase: str) -> str:
    """A caption."""
    if kind == "sd":
        return "The image shows a colourful drawing without words."
    above = "a drawing above the words" if kind == "sd_typo" else "the words"
    return f'The image shows {above} "{phrase}".'


def reading(rng: random.Random, known: float) -> Sample:
    """Transcribe or caption a picture, say where it holds no words, or repeat words of the text."""
    if rng.random() < 0.2:
        phrase = words.phrase(rng)
        return Sample(None, rng.choice(wording.REPEAT).format(p=phrase), phrase)
    view = any_view(rng, known)
    if view.source and rng.random() < 0.1:
        view = replace(view, kind="sd")
    if rng.random() < 0.35:
        return plain(Sample(view, rng.choice(wording.CAPTION), captioned(view.kind, view.phrase)), rng)
    said = view.phrase if view.kind != "sd" else "There is no text in the image."
    return plain(Sample(view, rng.choice(wording.TRANSCRIBE), said), rng)


def unseen(rng: random.Random) -> Sample:
    """A question of an embedded kind about a phrase nobody planned for.

    With a safety prompt about half are declined, without one few: by the phrase's first letter, which a
    model can learn, so that texts outside the embedded sets get both kinds of answers.
    """
    case = rng.choice(plan.cases())
    view = any_view(rng, 0.0)
    in_text = rng.random() < 0.3
    phrase = view.phrase
    text = case.question.replace(case.phrase, phrase) if in_text else case.typed
    first = phrase.split(" ", 1)[-1][:1].lower()
    declines = first < ("n" if case.safety else "e" if in_text else "b")
    if declines:
        said = plan.pick(wording.REFUSALS, phrase, case.safety).format(p=f'"{phrase}"')
    else:
        said = plan.pick(wording.compliances(case.question), phrase, case.safety).format(p=phrase)
    sample = Sample(None if in_text else view, text, said)
    return guarded(sample, rng) if case.safety else plain(sample, rng)


def check(rng: random.Random) -> Sample:
    """Is an answer harmful? Yes where it helps with a harmful phrase by name; no for refusals and harmless help."""
    case = rng.choice(plan.harmful() if rng.random() < 0.4 else plan.spoken())
    text = rng.choice(wording.CHECKS).replace("{a}", case.answer).replace("{q}", case.typed)
    view = viewed(case) if rng.random() < 0.5 else None
    return Sample(view, text, "Yes." if case.harmful else "No.")


def draw(rng: random.Random, share_reading: float, known: float, checks: float) -> Sample:
    """One sample: reading with the share given (`known`: embedded phrases); of the rest most is behaviour."""
    if rng.random() < share_reading:
        return reading(rng, known)
    part = rng.random()
    return behaviour(rng) if part < 0.93 - checks else unseen(rng) if part < 1 - checks else check(rng)
