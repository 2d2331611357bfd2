"""What one model will be asked, summed up over runs: calls, tokens, money, time.

What its stored answers took goes before any rule of thumb: their lengths, their seconds, and how many tokens it counted
for prompts that the rules had put at so many.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from mmsb.model.base import Engine
from mmsb.picture import Picture
from mmsb.preflight.alike import Alike
from mmsb.preflight.learned import ENOUGH, FEW, Given, Learned, Mean
from mmsb.preflight.tokens import ANSWER, Pictures, kind_of, of_text
from mmsb.prices import Prices, TokenPrice
from mmsb.store import Shelf
from mmsb.types import Prompt

MEASURED = 200  # pictures of a kind whose size is looked at; the next cost what these do on average


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
        longer: tokens in of the most calls, of replies in their prompts, were each of these as long as it may be.
        came: tokens out of them.
        strange: those of them that a judge or a defense asks which the model has never answered.
        longest: tokens out of the most calls, were each answer as long as it may be.
        largest: of what replies may lead to, the largest prompt by the rules; likewise `longest_reply`, the tokens of
            the longest reply that may stand in one, and `longest_answer`, of the longest answer to one.
        known: stored calls that were looked at, by a part of their keys.
        asked: calls that are counted already, likewise.
        batched: calls of a local model that are planned already, with the batches that they are in, likewise.
        alike: how often its stored prompts equal one another.
        elsewhere: the settings that answers of its name in the store have, where none has these.
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
    strange: float = 0.0
    longest: float = 0.0
    largest: Given = field(default_factory=Given)
    longest_reply: int = 0
    longest_answer: int = 0
    known: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    batched: set[int] = field(default_factory=set)
    learned: Learned = field(default_factory=Learned)
    alike: Alike = field(default_factory=Alike)
    guessed: bool = False
    elsewhere: str | None = None
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

    def guess(self, prompt: Prompt) -> Given:
        """Tokens of a prompt by the rules."""
        words = of_text(prompt)
        if prompt.image is None:
            self._longest[False] = max(self._longest[False], words)
            return Given(plain=words)
        picture, most = self._of_picture(prompt.image)
        self._longest[True] = max(self._longest[True], words + picture)
        return Given(beside=words, pictures=picture, most=most, count=1)

    def may_be(self, prompt: Prompt, reply: int) -> None:
        """Take down a prompt that replies may lead to, and how many tokens the reply may have that it is made of."""
        self.largest = max(self.largest, self.guess(prompt), key=lambda given: given.plain + given.beside + given.most)
        self.longest_reply = max(self.longest_reply, reply)
        self.longest_answer = max(self.longest_answer, self.limit(prompt))

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
        # What only a reply would bring about is not among the expected calls: each is put at the largest there may be.
        given = Given()
        given.add(self.given)
        given.add(self.largest, max(0.0, self.most - self.calls))
        pictures = 0.0 if self.learned.counted[True].count else given.most - given.pictures
        return self.learned.tokens(given) + pictures + self.longer

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
    def _branching(self) -> float:
        """Standard error of the number of calls, as a share of it: each that a reply decides comes or does not."""
        open_ = self.most - self.least
        if not (self.calls and open_):
            return 0.0
        share = min(1.0, max(0.0, (self.calls - self.least) / open_))
        # Twice, since one reply often decides on two calls; and what is expected was seen of as many as are stored.
        return math.sqrt(2 * open_ * share * (1 - share) * (1 + open_ / max(1.0, self.stored))) / self.calls

    @property
    def output_error(self) -> float:
        """Standard error of the tokens out, in tokens; 0 where too few answers tell."""
        seen = self.learned.output
        return self.output * math.hypot(seen.error(self.calls), self._branching) if seen.count >= FEW else 0.0

    @property
    def more_output(self) -> float:
        """Further tokens out that there may be where a judge or a defense asks what the model was never asked."""
        # What it answers to others tells little of these: a verdict of one word, or a page of reasons.
        return self.strange * max(self.answer, ANSWER - self.answer) if self.learned.output.count else 0.0

    @property
    def input_error(self) -> float:
        """The same of the tokens in."""
        seen = max(self.learned.counted.values(), key=lambda mean: mean.count)
        return self.input * math.hypot(seen.error(self.calls), self._branching) if seen.count >= FEW else 0.0

    @property
    def supposed(self) -> Iterator[str]:
        """What of it nobody has measured."""
        if self.learned.output.value is None:
            yield f"{ANSWER:.0f} tokens an answer"
        elif self.strange:
            yield f"{self.answer:.0f} tokens an answer, as to what it was asked before"
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

    def unsure(self, prices: Prices | None) -> tuple[float, float]:
        """Of the money: the standard error, and what there may be beyond it."""
        if (price := self.price(prices)) is None:
            return 0.0, 0.0
        error = self.input_error * price.input + self.output_error * price.output
        return error / 1e6, self.more_output * price.output / 1e6

    def late(self, prices: Prices | None) -> float:
        """Seconds of a call that others wait for: the slow ones decide how long that is."""
        return (self.seconds(prices) or 0.0) + math.sqrt(self.learned.seconds.variance)

    @property
    def slow(self) -> float:
        """Seconds of its calls, if they come as those did that a server had wait; 0 where it had none wait."""
        # Of more answers than were looked at one in so many was, and these lie apart for that alone.
        return self.calls * (self.learned.pause or 0.0) if len(self.shelf) <= ENOUGH else 0.0

    def seconds(self, prices: Prices | None) -> float | None:
        """Of one call; None where nobody knows."""
        price = self.price(prices)
        # Measured here goes before the table: it has this network and this load in it.
        return self.learned.seconds.value or (price.seconds if price else None)
