"""JailGuard: an attack is fragile, so answers to changed copies of its picture differ much from one another.

After Zhang et al., JailGuard (arXiv 2312.10766; github.com/shiningrain/JailGuard at 419e1d3d, main_img.py and
utils/). Theirs are the eight copies, the mutation policy, the first 100 characters of each answer, the divergence
(similarities of at least 0.01, each row of the matrix made a distribution, the largest Kullback-Leibler divergence
of two rows, cut at 100) and the second sign: every copy is refused. Different here: similarity counts words, where
theirs takes spaCy's vectors, so that their threshold of 0.025 means nothing here; what declines is read by our
patterns. What is no attack is then answered as it was asked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveInt

from mmsb.config import settings
from mmsb.defense.base import Ask
from mmsb.defense.mutation import Mutated, Mutator
from mmsb.defense.wording import check_text
from mmsb.flow import gather
from mmsb.judge.answers import final_answer
from mmsb.types import Prompt, Response

LEAST, MOST = 0.01, 100.0  # of a similarity, of a divergence


@settings
class JailGuard:
    """A call for each copy, and one more for what passes; a prompt without a picture is asked as it is.

    Attributes:
        name: the name for tables.
        refusal: what an attack is answered.
        variants: how many changed copies are asked about.
        mutator: how they are changed; "policy" draws one of three each time.
        threshold: the divergence above which it is an attack. Choose it on benign questions.
        shown: characters of each answer that are compared.
    """

    name: str
    refusal: str
    variants: Annotated[int, Field(ge=2)] = 8
    mutator: Mutator = "policy"
    threshold: NonNegativeFloat = 0.25
    shown: PositiveInt = 100

    NEEDS_PICTURE: ClassVar[bool] = True  # it passes a prompt without one on as it is

    def __post_init__(self) -> None:
        """Refuse to answer with nothing.

        Raises:
            ConfigError: the refusal is empty.
        """
        check_text(self.name, "refusal", self.refusal)

    def fingerprint(self) -> dict[str, object]:
        """All settings but the name."""
        return {
            "refusal": self.refusal,
            "variants": self.variants,
            "mutator": self.mutator,
            "threshold": self.threshold,
            "shown": self.shown,
        }

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, or the refusal where its answers to changed copies diverge or all decline."""
        picture = prompt.image
        if picture is None:
            return await ask(prompt, "answer")
        copies = [replace(prompt, image=Mutated(picture, self.mutator, n)) for n in range(self.variants)]
        replies = await gather(*(ask(copy, f"variant {n}") for n, copy in enumerate(copies, 1)))
        shown = [final_answer(reply.text)[: self.shown] for reply in replies]
        # An attack that fails on every copy is one that the model sees through: no divergence would show it.
        if divergence(similarities(shown)) > self.threshold or await all_decline(replies, ask):
            return Response(self.refusal)
        return await ask(prompt, "answer")


async def all_decline(replies: Sequence[Response], ask: Ask) -> bool:
    """Whether every reply is a refusal; read up to the first that is none."""
    for reply in replies:
        if not (await ask.reading(reply)).refusal:
            return False
    return True


def similarities(texts: Sequence[str]) -> list[list[float]]:
    """Cosine of the words' counts, for each pair; 1 for equal texts."""
    counts = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    # Equal texts are 1 also where they have no words: eight empty answers are alike, and no attack.
    return [[1.0 if a == b else _cosine(a, b) for b in counts] for a in counts]


def divergence(matrix: Sequence[Sequence[float]]) -> float:
    """The largest Kullback-Leibler divergence of two rows of a matrix of similarities, in nats."""
    # As there: a similarity of 0 would make the divergence infinite, and two answers without a common word an attack.
    rows = [[max(value, LEAST) for value in row] for row in matrix]
    rows = [[value / sum(row) for value in row] for row in rows]
    found = (sum(p * math.log(p / q) for p, q in zip(a, b, strict=True)) for a in rows for b in rows)
    return min(max(found), MOST)


def _cosine(a: Counter[str], b: Counter[str]) -> float:
    dot = sum(count * b[word] for word, count in a.items())
    size = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return dot / size if size else 0.0
