"""What one model's stored answers took: how long they are, how many tokens prompts have, how far they differ."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field

from mmsb.types import Prompt, Response

FEW = 8  # stored answers below which nothing is said of how far they differ
APART = 10.0  # seconds that a server may have had an answer wait
ENOUGH = 200  # stored answers that tell how long a model's answers are


@dataclass
class Mean:
    """An average of what was seen."""

    total: float = 0.0
    count: int = 0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.total += value
        self.squares += value * value
        self.count += 1

    @property
    def variance(self) -> float:
        """Of what was seen; 0 of fewer than two."""
        if self.count < 2:
            return 0.0
        return max(0.0, self.squares - self.total**2 / self.count) / (self.count - 1)

    def error(self, count: float) -> float:
        """Standard error of the sum of so many to come, as a share of that sum."""
        if not (self.count and self.total and count):
            return 0.0
        return math.sqrt(self.variance * (1 / count + 1 / self.count)) / (self.total / self.count)

    @property
    def value(self) -> float | None:
        """None where nothing was."""
        return self.total / self.count if self.count else None


@dataclass
class Given:
    """Tokens in, by the rules.

    Attributes:
        plain: of the words of prompts without a picture.
        beside: of the words of prompts with one.
        pictures: of their pictures.
        most: of these at most, which is more where no rule is known.
        count: how many pictures.
    """

    plain: float = 0.0
    beside: float = 0.0
    pictures: float = 0.0
    most: float = 0.0
    count: float = 0.0

    def add(self, other: Given, times: float = 1.0) -> None:
        """Add others, so many times."""
        self.plain += times * other.plain
        self.beside += times * other.beside
        self.pictures += times * other.pictures
        self.most += times * other.most
        self.count += times * other.count


@dataclass
class Learned:
    """What a model's answers in the store took."""

    output: Mean = field(default_factory=Mean)
    seconds: Mean = field(default_factory=Mean)
    came: list[float] = field(default_factory=list)  # when, in seconds since the epoch
    texts: dict[bool, Mean] = field(default_factory=lambda: {True: Mean(), False: Mean()})  # with a picture, without
    counted: dict[bool, Mean] = field(default_factory=lambda: {True: Mean(), False: Mean()})
    pictures: Mean = field(default_factory=Mean)  # by the rules, of prompts with one
    most: Counter[bool] = field(default_factory=Counter)

    def answer(self, response: Response) -> None:
        """What came."""
        if response.output_tokens is not None:
            self.output.add(response.output_tokens)
        if response.seconds:
            self.seconds.add(response.seconds)
        if response.at is not None:
            self.came.append(response.at)

    @property
    def pause(self) -> float | None:
        """Seconds from one answer to the next, where they came slower than one by one: somebody had them wait.

        None where they did not, or where too few tell.
        """
        each = self.seconds.value
        if len(self.came) < FEW or each is None:
            return None
        came = sorted(self.came)
        # What lies longer apart was asked by two commands.
        apart = sum(min(later - one, each + APART) for one, later in itertools.pairwise(came)) / (len(came) - 1)
        return apart if apart > each else None

    @property
    def few(self) -> bool:
        """Whether more prompts would tell more."""
        return sum(mean.count for mean in self.counted.values()) < 2 * ENOUGH

    def prompt(self, prompt: Prompt, response: Response, rule: Given) -> None:
        """What a prompt took, and would by the rules."""
        if response.input_tokens is not None:
            pictured = prompt.image is not None
            self.most[pictured] = max(self.most[pictured], response.input_tokens)
            self.texts[pictured].add(rule.plain + rule.beside)
            self.counted[pictured].add(response.input_tokens)
            if pictured:
                self.pictures.add(rule.pictures)

    @property
    def given(self) -> Given:
        """Tokens in of a stored prompt, by the rules, on average."""
        found = {kind: mean.value or 0.0 for kind, mean in self.texts.items()}
        pictured = self.texts[True].count / max(1, sum(mean.count for mean in self.texts.values()))
        pictures = (self.pictures.value or 0.0) * pictured
        return Given(found[False] * (1 - pictured), found[True] * pictured, pictures=pictures, count=pictured)

    def tokens(self, given: Given) -> float:
        """Tokens of prompts, as the model counts them.

        Words are scaled by what they took in prompts without a picture, and pictures by what is left of the others:
        those that are planned may be larger than those that came (typed ones before painted ones).
        """
        words = _share(self.counted[False].value, self.texts[False].value)
        counted, texts = self.counted[True].value, self.texts[True].value
        if counted is None or texts is None:
            return words * (given.plain + given.beside) + given.pictures
        left = counted - words * texts
        if left <= 0:
            return words * given.plain + given.beside * counted / texts
        return words * (given.plain + given.beside) + given.pictures * _share(left, self.pictures.value)


def _share(counted: float | None, texts: float | None) -> float:
    return counted / texts if counted and texts else 1.0
