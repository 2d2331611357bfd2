"""How long an endpoint takes for the calls of a run, within its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmsb.model.limits import BEGUN
from mmsb.model.openai import OpenAI


@dataclass
class Place:
    """An endpoint that engines of a run ask: it keeps the strictest limits that any of them sets, for all together."""

    calls: float = 0.0
    tokens: float = 0.0
    taken: float = 0.0
    concurrency: float = math.inf
    rate: float = math.inf  # requests a second
    minute: float = math.inf  # tokens

    def add(self, engine: OpenAI, calls: float, taken: float, tokens: float) -> None:
        """Calls, the seconds that they take one by one, and their tokens."""
        self.calls += calls
        self.tokens += tokens
        self.taken += taken
        self.concurrency = min(self.concurrency, engine.concurrency)
        self.rate = min(self.rate, (engine.requests_per_second or math.inf) / BEGUN)
        self.minute = min(self.minute, engine.tokens_per_minute or math.inf)

    @property
    def seconds(self) -> float:
        """That it takes for all of them."""
        return max(self.taken / self.concurrency, self.calls / self.rate, 60 * self.tokens / self.minute)
