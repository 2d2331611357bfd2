"""How often prompts that are made of answers equal one another: refusals are often the same, word for word.

A judge is asked once about what two samples answered alike. Of those that are asked already one knows how many differ;
of those that are left that share is too high, as most of what repeats has been seen by then. The chance that the next
one is new is the share of those that were seen once (Good 1953, "The population frequencies of species").

That chance is another one where the words of the question came before, beside another picture: many typed questions
have the same words, and who does not look at the picture answers them alike. Which of those that are left have such
words is known, so it is told for them apart: a pilot of each scenario's first questions may hold many of them, or few.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

ENOUGH = 20  # calls that tell how often they are alike
FEW = 8  # of one sort: they are more alike one another than all are
MANY = 2_000  # after which no more are looked at


@dataclass
class Share:
    """Calls of one sort: how many there were, and of how many no other question led to the same."""

    calls: int = 0
    tokens: float = 0.0  # of all of them
    once: dict[int, float] = field(default_factory=dict)  # tokens of prompts that came from one question alone
    _questions: dict[int, str] = field(default_factory=dict)  # which each prompt came from first

    def add(self, number: int, question: str, tokens: float) -> bool:
        """One more; tells whether its prompt came from this question alone so far."""
        self.calls += 1
        self.tokens += tokens
        if number not in self._questions:
            self._questions[number], self.once[number] = question, tokens
        elif self._questions[number] != question:
            self.once.pop(number, None)
        return number in self.once

    @property
    def new(self) -> float:
        """The share of the next calls whose prompt will be new: all of them, where none are stored."""
        return len(self.once) / self.calls if self.calls else 1.0

    @property
    def longer(self) -> float:
        """How many times as long as all prompts the new ones are: what repeats is mostly a short refusal."""
        if not self.once:
            return 1.0
        return sum(self.once.values()) / len(self.once) / (self.tokens / self.calls)


@dataclass
class Alike:
    """Stored calls of one model whose prompts were made of answers.

    Attributes:
        every: all of them.
        first: those of a question whose words no other question came with before.
        again: the others.
    """

    every: Share = field(default_factory=Share)
    first: Share = field(default_factory=Share)
    again: Share = field(default_factory=Share)
    _words: dict[str, str] = field(default_factory=dict)  # the question that came with them first
    _origins: defaultdict[int, set[int]] = field(
        default_factory=lambda: defaultdict(set)
    )  # of each prompt, what it came after

    def came_before(self, words: str, question: str) -> bool:
        """Whether another question came with the same words."""
        return self._words.setdefault(words, question) != question

    def add(self, number: int, before: set[int], words: str, question: str, tokens: float) -> None:
        """A stored call.

        Args:
            number: its prompt's.
            before: numbers of the calls that came before it, of the same sample.
            words: that the question is put in, beside its picture.
            question: that the sample asks: its repeats and its run under another defense are no other one.
            tokens: of the prompt.
        """
        if self.every.calls >= MANY:
            return
        # What another run asks too, of the same answer, says nothing of how alike answers are.
        if self._origins[number].isdisjoint(before):
            alone = self.every.add(number, question, tokens)
            if not self.came_before(words, question):
                self.first.add(number, question, tokens)  # not held against the same words' other answers
            else:
                self.again.add(number, question, tokens)
            if not alone:
                self.again.once.pop(number, None)
        self._origins[number] |= before

    def next(self, again: bool) -> Share:
        """What tells of the next calls: of questions whose words came before, or of the others; where any does."""
        share = self.again if again else self.first
        if share.calls >= FEW:
            return share
        return self.every if self.every.calls >= ENOUGH else Share()
