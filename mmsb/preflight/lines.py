"""What one model will be asked, summed up over runs: calls, tokens, money, time.

What its stored answers took goes before any rule of thumb: their lengths, their seconds, and how many tokens it counted
for prompts that the rules had put at so many.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from mmsb.model.base import Engine
from mmsb.picture import Picture
from mmsb.preflight.alike import Alike
from mmsb.preflight.tokens import ANSWER, Pictures, kind_of, of_text
from mmsb.prices import Prices, TokenPrice
from mmsb.store import Shelf
from mmsb.types import Prompt, Response

ENOUGH = 200  # stored answers that tell how long a model's answers are
MEASURED = 200  # pictures of a kind whose size is looked at; the next cost what these do on average


@dataclass
class Mean:
    """An average of what was seen."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """One more."""
        self.total += value
        self.count += 1

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


@dataclass
class Line:
    """One model's calls in a plan.

    Attributes:
        engine: the model, by the settings that determine its answers.
        shelf: its answers so far.
        stored: calls that they answer.
        calls: calls that are left, as expected.
        least: the same, whatever is replied.
        most: likewise.
        given: tokens in of the expected calls by the rules.
        longer: tokens in, at most, of the replies that their prompts are made of.
        came: tokens out of them.
        longest: tokens out of the most calls, were each answer as long as it may be.
        known: stored calls that were looked at, by a part of their keys.
        asked: calls that are counted already, likewise.
        batched: calls of a local model that are planned already, with the batches that they are in, likewise.
        alike: how often its stored prompts equal one another.
        guessed: whether what checks will say is supposed for any of the runs that may ask more or less of it.
    """

    engine: Engine
    shelf: Shelf
    stored: float = 0.0
    calls: float = 0.0
    least: float = 0.0
    most: float = 0.0
    given: Given = field(default_factory=Given)
    longer: float = 0.0
    came: float = 0.0
    longest: float = 0.0
    known: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    batched: set[int] = field(default_factory=set)
    learned: Learned = field(default_factory=Learned)
    alike: Alike = field(default_factory=Alike)
    guessed: bool = False
    _picture: defaultdict[str, Mean] = field(default_factory=lambda: defaultdict(Mean))  # by its kind
    _most: defaultdict[str, Mean] = field(default_factory=lambda: defaultdict(Mean))
    _longest: defaultdict[bool, float] = field(default_factory=lambda: defaultdict(float))  # with a picture, without

    def __post_init__(self) -> None:
        """Look at some of its answers, whatever they were about."""
        self._pictures = Pictures(self.engine)
        # From all over the shelf, since answers of one defense or scenario alone may be longer than the others.
        for response in islice(self.shelf.some(ENOUGH), ENOUGH):
            self.learned.answer(response)

    def forget(self) -> None:
        """Begin to count anew."""
        self.asked.clear()
        self.longer = 0.0

    def guess(self, prompt: Prompt) -> Given:
        """Tokens of a prompt by the rules."""
        words = of_text(prompt)
        if prompt.image is None:
            self._longest[False] = max(self._longest[False], words)
            return Given(plain=words)
        picture, most = self._of_picture(prompt.image)
        self._longest[True] = max(self._longest[True], words + picture)
        return Given(beside=words, pictures=picture, most=most, count=1)

    def _of_picture(self, picture: Picture) -> tuple[float, float]:
        # Typed pictures are smaller than painted ones: one average for all would go by which came first.
        tokens, most = (means[kind_of(picture)] for means in (self._picture, self._most))
        # Opening ten thousand files for their headers would take longer than all the rest of the plan.
        if tokens.count >= MEASURED:
            return tokens.value or 0.0, most.value or 0.0
        found = self._pictures.tokens(picture), self._pictures.most(picture)
        for mean, value in zip((tokens, most), found, strict=True):
            mean.add(value)
        return found

    @property
    def longest_prompt(self) -> float:
        """Tokens of the longest prompt, with its picture: as the model counted them, else by the rules."""
        return max((self.learned.most[kind] or tokens for kind, tokens in self._longest.items()), default=0.0)

    def limit(self, prompt: Prompt) -> int:
        """The longest answer to a prompt, in tokens."""
        own = prompt.how.max_tokens if prompt.how else None
        return own or int(getattr(self.engine, "max_tokens", getattr(self.engine, "max_new_tokens", 512)))

    @property
    def input(self) -> float:
        """Tokens in, as expected."""
        return self.learned.tokens(self.given)

    @property
    def most_input(self) -> float:
        """Tokens in of the most calls, if each picture and each reply in a prompt took as many as any may."""
        # What only a check brings about was not rehearsed with its own prompts: they are put at the average.
        more = self.most / self.calls if self.calls else 1.0
        pictures = 0.0 if self.learned.counted[True].count else self.given.most - self.given.pictures
        return more * (self.input + self.longer + pictures)

    @property
    def answer(self) -> float:
        """Tokens of an answer, as expected."""
        return self.learned.output.value or ANSWER

    @property
    def output(self) -> float:
        """Tokens out, as expected."""
        # A limit that is set lower than answers so far were long cuts the next ones.
        return min(self.came, self.longest)

    @property
    def supposed(self) -> Iterator[str]:
        """What of it nobody has measured."""
        if self.learned.output.value is None:
            yield f"{ANSWER:.0f} tokens an answer"
        if not any(mean.count for mean in self.learned.counted.values()):
            yield "4 letters a token"
        if self.given.count and not self.learned.counted[True].count and not self._pictures.known:
            each, most = (tokens / self.given.count for tokens in (self.given.pictures, self.given.most))
            yield f"{each:.0f} tokens a picture (at most {most:,.0f})"

    def price(self, prices: Prices | None) -> TokenPrice | None:
        """What its tokens cost."""
        return prices.price(self.engine.name) if prices else None

    def dollars(self, prices: Prices | None) -> tuple[float, float] | None:
        """As expected and at most; None where the table does not know the model."""
        price = self.price(prices)
        if price is None:
            return None
        given, most = (tokens * price.input / 1e6 for tokens in (self.input, self.most_input))
        return given + self.output * price.output / 1e6, most + self.longest * price.output / 1e6

    def seconds(self, prices: Prices | None) -> float | None:
        """Of one call; None where nobody knows."""
        price = self.price(prices)
        # Measured here goes before the table: it has this network and this load in it.
        return self.learned.seconds.value or (price.seconds if price else None)
