"""How often prompts that are made of answers equal one another: refusals are often the same, word for word.

A judge is asked once about what two samples answered alike. Of those that are asked already one knows how many differ;
of those that are left that share is too high, as most of what repeats has been seen by then. The chance that the next
one is new is the share of those that were seen once (Good 1953, "The population frequencies of species").
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

ENOUGH = 20  # calls that tell how often they are alike
MANY = 2_000  # after which no more are looked at


@dataclass
class Alike:
    """Stored calls of one model whose prompts were made of answers."""

    _calls: int = 0
    _tokens: float = 0.0  # of all of them
    _origins: defaultdict[int, set[int]] = field(
        default_factory=lambda: defaultdict(set)
    )  # of each prompt, what it came after
    _questions: dict[int, str | None] = field(default_factory=dict)  # which a prompt came from; None: several
    _once: dict[int, float] = field(default_factory=dict)  # tokens of prompts that came from one question alone

    def add(self, number: int, before: set[int], question: str, tokens: float) -> None:
        """A stored call.

        Args:
            number: its prompt's.
            before: numbers of the calls that came before it, of the same sample.
            question: that the sample asks: its repeats and its run under another defense are no other one.
            tokens: of the prompt.
        """
        if self._calls >= MANY:
            return
        # What another run asks too, of the same answer, says nothing of how alike answers are.
        if self._origins[number].isdisjoint(before):
            self._calls += 1
            self._tokens += tokens
            if self._questions.setdefault(number, question) == question:
                self._once[number] = tokens
            else:
                self._questions[number] = None
                self._once.pop(number, None)
        self._origins[number] |= before

    @property
    def new(self) -> float:
        """The share of the calls that are left whose prompt will be new: all of them, until some are stored."""
        return len(self._once) / self._calls if self._calls >= ENOUGH else 1.0

    @property
    def longer(self) -> float:
        """How many times as long as all prompts the new ones are: what repeats is mostly a short refusal."""
        if self._calls < ENOUGH or not self._once:
            return 1.0
        return sum(self._once.values()) / len(self._once) / (self._tokens / self._calls)
