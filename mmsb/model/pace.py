"""Turns at an endpoint with a rate: requests a second, tokens a minute; and how many tokens a request will take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mmsb.model.limits import Shared
from mmsb.types import Prompt, Response

LETTERS = 4  # a token, of English text
LOOK = 0.05  # seconds between two looks whether it is one's turn
PICTURE = 1_000  # tokens of one, before the first reply says how many it really is


class Estimate:
    """How many tokens the requests of one engine take: a guess, until replies have counted some."""

    def __init__(self, longest: int) -> None:
        """`longest`: the tokens of the longest answer; providers count it too until they know better."""
        self._longest = longest
        self._guessed = 0.0
        self._counted = 0
        self._answers = 0
        self._replies = 0

    def of(self, prompt: Prompt) -> float:
        """The tokens of a prompt and its answer."""
        if not self._replies:
            return _guess(prompt) + self._longest
        # Over all replies so far: a single long answer must not set the pace.
        return _guess(prompt) * self._counted / self._guessed + self._answers / self._replies

    def learn(self, prompt: Prompt, response: Response) -> None:
        """Count what a reply says it took."""
        if response.input_tokens is not None and response.output_tokens is not None:
            self._guessed += _guess(prompt)
            self._counted += response.input_tokens
            self._answers += response.output_tokens
            self._replies += 1


class Pace:
    """Has requests begin one after the other, as the limits allow that all processes share."""

    def __init__(self, shared: Shared) -> None:
        """Nothing has begun."""
        self._shared = shared
        self._queue = asyncio.Lock()

    async def turn(self, tokens: Callable[[], float]) -> float:
        """Wait for one's turn. Only the first of those that wait asks: whoever is cancelled has taken nothing.

        Args:
            tokens: that the request will take, as far as is known by then.

        Returns:
            As many as were taken for it.
        """
        if not self._shared.paced:
            return tokens()
        # A queue, so that turns go in the order in which they were asked for, and only its head asks other processes.
        async with self._queue:
            while later := self._shared.turn(taken := tokens()):
                # Not all of it at once: a reply that comes meanwhile may say that it took less than was thought.
                await asyncio.sleep(min(later, LOOK))
        return taken

    async def start(self) -> None:
        """Wait, with a connection that is there, until a request may go out: mostly not at all."""
        while later := self._shared.start():
            await asyncio.sleep(later)

    def correct(self, estimated: float, response: Response) -> None:
        """A reply says how many tokens it took; without a word the estimate stands."""
        if response.input_tokens is not None and response.output_tokens is not None:
            self._shared.correct(response.input_tokens + response.output_tokens - estimated)


def _guess(prompt: Prompt) -> float:
    letters = sum(len(text) for text in (prompt.text, prompt.system, prompt.reply) if text)
    return 1 + letters / LETTERS + (PICTURE if prompt.image else 0)
