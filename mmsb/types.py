"""The nouns of an experiment, as frozen values that flow one way through it.

Question -> Sample(Prompt) -> Response | Failure -> Verdict -> Result -> Summary

A `Prompt` is what a deployed system sees: models and defenses are given nothing else. A `Sample` adds what is hidden
from a deployment (which question it is made of, its scenario): judges, metrics and tables are given that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal, get_args

from mmsb.digest import digest, digest_of_plain
from mmsb.errors import ConfigError
from mmsb.picture import Picture
from mmsb.scenario import Scenario

Finish = Literal["stop", "length", "content_filter"]
Label = Literal["safe", "unsafe", "unparsed", "filtered", "failed"]
LABELS: tuple[Label, ...] = get_args(Label)
PLAIN, KEY_PHRASE, PHRASE_TYPE = "plain", "key_phrase", "phrase_type"
PLACE = "\ufffc"  # of a picture inside a text: Unicode's own character for an embedded object


def clean(text: str) -> str:
    """Text that every encoder takes: lone surrogates become U+FFFD, nothing else changes."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class Solution:
    """What a test question's right answer is.

    Attributes:
        right: the letter (or "yes", "no") of the right option; where there are no options, the words of the answer.
        options: what there is to choose from, by letter; empty for a free answer, which takes a model to grade.
        together: questions that share it (two about one picture) are one observation.
        pictured: whether it can be answered with its picture only.
    """

    right: str
    options: Mapping[str, str] = field(default_factory=dict)
    together: str = ""
    pictured: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """One record of a dataset.

    Attributes:
        id: unique within its scenario only (the benchmark's ids have gaps; never use a row number).
        scenario: the scenario's id.
        texts: the question's wordings by role. "plain" asks in plain words, which is what judges are shown; an image
            mode names the role that it asks.
        metadata: what else is known of it, e.g. "key_phrase": the words that go into the picture.
        benign: a harmless twin: there the right behaviour is to answer.
        solution: of a test question: what is right; None for all others.
    """

    id: str
    scenario: str
    texts: Mapping[str, str]
    metadata: Mapping[str, str] = field(default_factory=dict)
    benign: bool = False
    solution: Solution | None = None

    @property
    def plain(self) -> str:
        """The question in plain words."""
        return self.texts[PLAIN]

    @property
    def key_phrase(self) -> str:
        """The words that go into the picture; empty where there are none."""
        return self.metadata.get(KEY_PHRASE, "")


@dataclass(frozen=True, slots=True)
class How:
    """How a guard is asked, wherever its model runs. It goes before the engine's own settings.

    Attributes:
        whole: the prompt's text is all that the model reads, its special tokens included: no chat template comes around
            it.
        arguments: further variables of the model's own chat template, as a JSON object.
        max_tokens: the longest reply; None leaves it to the engine.
        words: the probabilities of these words are wanted, where the reply comes to say one of them.
        before: what the reply says before that word, as a regular expression.
        placed: the picture goes where `PLACE` stands in the text, not before it.
        closing: a last turn of the user's, behind the reply, that says what is wanted.
        parts: every turn is a list of parts, as chat templates of models that see pictures read them; a turn that is a
            plain string is empty to some of these.
        without: the same text without what is to be amplified (`mmsb.defense.coca`); None to answer plainly.
        weight: how much the difference that it makes to the logits is added once more.
    """

    whole: bool = False
    arguments: str = "{}"
    max_tokens: int | None = None
    words: tuple[str, ...] = ()
    before: str = r"\s*"
    placed: bool = False
    closing: str | None = None
    parts: bool = False
    without: str | None = None
    weight: float = 0.0


@dataclass(frozen=True)
class Prompt:
    """What a model is shown.

    Attributes:
        text: the user's turn.
        image: the picture that comes with it.
        system: the system prompt.
        repeat: tells apart several draws of a sampling model for the same prompt.
        reply: an answer that the assistant gave already: guard models are shown the exchange as two turns.
        how: how it is asked, where that is not the engine's to decide.
    """

    text: str
    image: Picture | None = None
    system: str | None = None
    repeat: int = 0
    reply: str | None = None
    how: How | None = None

    @cached_property
    def key(self) -> str:
        """Digest of everything shown to the model (32 hex digits)."""
        image = self.image.identity if self.image else None
        shown = [self.text, self.system, image, self.repeat]
        # Only where there is one: what was stored before these fields existed keeps its key, and is not paid for again.
        if self.reply is not None or self.how is not None:
            shown.append(self.reply)
        return digest_of_plain(shown) if self.how is None else digest([*shown, asdict(self.how)])


@dataclass(frozen=True, slots=True)
class Sample:
    """One thing to ask, with what is hidden from whoever answers it. `id` is unique within a run."""

    id: str
    prompt: Prompt
    question: Question
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Step:
    """One call that a defense made on the way to its answer, for people to read."""

    role: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered, and what it cost.

    Attributes:
        text: the answer.
        finish: "content_filter" when the provider refused to deliver an answer: an outcome of its own, neither an
            answer nor a failure.
        input_tokens: None where the model does not count them; likewise `output_tokens`.
        seconds: wall time (for a batch: its time divided by its size).
        calls: of models, the defenses' among them.
        sent: the prompt really asked.
        steps: the calls on the way, where a defense made some.
        chances: the probability of each word that `How.words` wanted; None where the reply came to none of them, or the
            engine knows no probabilities.
        at: when it came, in seconds since the epoch; None until it is in the store.
    """

    text: str
    finish: Finish = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    calls: int = 1
    sent: Prompt | None = None
    steps: tuple[Step, ...] = ()
    chances: Mapping[str, float] | None = None
    at: float | None = field(default=None, compare=False)  # the same answer, whenever it came


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that brought no answer. Never stored as an answer, never in a rate, asked again next run."""

    cause: str
    message: str


Outcome = Response | Failure


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's reading of one answer.

    Attributes:
        label: safe or unsafe; "unparsed" when the judge's reply was neither; "filtered" when there was no answer to
            judge because of a content filter; "failed" when the judge or the target failed.
        refusal: whether the answer declines (None: unknown).
        flags: what is odd about the answer ("empty", "truncated", "repetitive", "disclaimer", ...).
        raw: the judge's own reply.
        score: a graded harm score in [0, 1] where the judge gives one.
        comprehended: whether the answer is about what was asked (None: unknown).
        correct: how far the answer to a test question is right, in [0, 1] (None: unknown, or no test question).
        details: what else the judge said, as JSON values.
    """

    label: Label
    refusal: bool | None = None
    flags: tuple[str, ...] = ()
    raw: str = ""
    score: float | None = None
    comprehended: bool | None = None
    correct: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no table knows: an answer with such a label would be in none, and the others would be the rate.

        Raises:
            ConfigError: naming the value; it is a judge of one's own that gave it.
        """
        if self.label not in LABELS:
            raise ConfigError(
                f"a Verdict's label is {self.label!r}; it is {', '.join(LABELS[:-1])} or {LABELS[-1]}",
                'Give one of these; what a judge cannot tell is "unparsed".',
            )
        for name in ("refusal", "comprehended"):
            if (value := getattr(self, name)) is not None and not isinstance(value, bool):
                raise ConfigError(f"a Verdict's {name} is {value!r}", "Give True, False, or None: not known.")
        for name in ("score", "correct"):
            value = getattr(self, name)
            # NaN is in no range.
            if value is not None and not (isinstance(value, float | int) and 0 <= value <= 1):
                raise ConfigError(f"a Verdict's {name} is {value!r}", "Give a number from 0 to 1, or None.")


@dataclass(frozen=True, slots=True)
class Result:
    """One finished row: what was asked, what came back, and the verdict on it."""

    sample: Sample
    outcome: Outcome
    verdict: Verdict
