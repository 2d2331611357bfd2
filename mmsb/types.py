"""The nouns of an experiment, as frozen values that flow one way through it.

Question -> Prompt(text, image) -> Response | Failure -> Verdict -> Summary
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from mmsb.digest import digest
from mmsb.picture import Picture

Finish = Literal["stop", "length", "content_filter"]
Label = Literal["safe", "unsafe", "unparsed", "filtered", "failed"]


def clean(text: str) -> str:
    """Text that every encoder takes: lone surrogates become U+FFFD, nothing else changes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class Question:
    """One record of the benchmark, in the authors' terms.

    `id` is unique within its scenario only (the authors' ids have gaps; never use a row number).
    `benign` marks a harmless twin: there the right behaviour is to answer.
    """

    id: str
    scenario: str
    question: str
    changed: str
    key_phrase: str
    phrase_type: str
    rephrased: str
    rephrased_sd: str
    benign: bool = False


@dataclass(frozen=True)
class Prompt:
    """What a model is shown. `id` names the sample and travels along; it is not part of `key`.

    `repeat` tells apart several draws of a sampling model for the same prompt. `reply` is an answer that the
    assistant gave already: guard models are shown the exchange as two turns and say whether it is safe.
    """

    id: str
    text: str
    image: Picture | None = None
    system: str | None = None
    repeat: int = 0
    question: Question | None = field(default=None, compare=False)
    reply: str | None = None

    @cached_property
    def key(self) -> str:
        """Digest of everything shown to the model (32 hex digits)."""
        image = self.image.identity if self.image else None
        reply = [] if self.reply is None else [self.reply]
        return digest([self.text, self.system, image, self.repeat, *reply])


@dataclass(frozen=True, slots=True)
class Step:
    """One call that a defense made on the way to its answer, for people to read."""

    role: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered, and what it cost.

    `finish` is "content_filter" when the provider refused to deliver an answer: an outcome of its
    own, neither an answer nor a failure. `sent` is the prompt really asked, where a defense changed
    it. Tokens are None where the model does not count them; `seconds` is wall time for the sample
    (for a batch: its time divided by its size).
    """

    text: str
    finish: Finish = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    calls: int = 1
    sent: Prompt | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that brought no answer. Never stored as an answer, never in a rate, asked again next run."""

    cause: str
    message: str


Outcome = Response | Failure


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's reading of one answer.

    `label`: safe or unsafe; "unparsed" when the judge's reply was neither; "filtered" when there was
    no answer to judge because of a content filter; "failed" when the judge or the target failed.
    `refusal` says whether the answer declines (None: unknown). `flags` name what is odd about the
    answer ("empty", "truncated", "repetitive", "disclaimer", ...). `raw` is the judge's own reply.
    `score` is a graded harm score in [0, 1] where the judge gives one.
    """

    label: Label
    refusal: bool | None = None
    flags: tuple[str, ...] = ()
    raw: str = ""
    score: float | None = None
    comprehended: bool | None = None
    details: Mapping[str, object] = field(default_factory=dict)
