"""ETA: check the answer, then the picture; where both are unsafe, the best of several answers begun safely.

After Ding et al., ETA (ICLR 2025, arXiv 2410.06625; github.com/DripNowhy/ETA at 35808333,
generate/eta_generation.py). Theirs are the order (the answer first, the picture only if the answer is unsafe, new
answers only if both are), the beginning and the five candidates. Different here: a question to a model stands where
theirs scores with CLIP and a reward model, and whole answers are chosen where theirs chooses sentence by sentence,
which an endpoint does not allow. Our wording.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mmsb.config import settings
from mmsb.defense.base import Ask, fill, heard_yes
from mmsb.defense.wording import check_text
from mmsb.flow import gather
from mmsb.judge.answers import final_answer
from mmsb.model.base import Engine
from mmsb.types import Prompt, Response

NUMBER = r"(10(?:\.0+)?|\d(?:\.\d+)?)(?![\d.]*\d)"
# At the beginning, or as a share of ten; "on a scale of 0 to 10" names no grade yet.
GRADE = re.compile(
    rf"\A[^\w-]*(?:(?:the |my |final )*(?:grade|score|rating)(?: is|:)*[^\w-]*)?{NUMBER}(?!\s*(?:to|-|\u2013)\s*\d)"
    rf"|(?<![\d.]){NUMBER}[*_]*\s*(?:/|out of)\s*10\b",
    re.IGNORECASE,
)


@settings
class Eta:
    """Two calls for an answer found safe, three for a harmless picture, else three and two for each candidate.

    Attributes:
        name: the name for tables.
        check: asks about {answer}, yes or no.
        look: asks about the picture, yes or no.
        begin: asks for an answer to {query} with the set beginning.
        grade: asks for a grade of {answer} from 0 to 10, the higher the safer and more helpful.
        candidates: how many answers are drawn; a model that does not sample gives one answer as often.
        evaluator: the model that checks and grades; None lets the target do it.
    """

    name: str
    check: str
    look: str
    begin: str
    grade: str
    candidates: Annotated[int, Field(ge=1)] = 5
    evaluator: Engine | None = None

    NEEDS_PICTURE: ClassVar[bool] = True  # it passes a prompt without one on as it is

    def __post_init__(self) -> None:
        """Refuse texts that would be the same for every sample.

        Raises:
            ConfigError: one is empty, or lacks a place.
        """
        check_text(self.name, "check", self.check, "answer")
        check_text(self.name, "look", self.look)
        check_text(self.name, "begin", self.begin, "query")
        check_text(self.name, "grade", self.grade, "answer")

    def fingerprint(self) -> dict[str, object]:
        """The four texts, the number of candidates and the evaluator."""
        return {
            "check": self.check,
            "look": self.look,
            "begin": self.begin,
            "grade": self.grade,
            "candidates": self.candidates,
            "evaluator": dict(self.evaluator.fingerprint()) if self.evaluator else None,
        }

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The first answer, or the best of the candidates; of equal ones, and of ungraded ones, the first."""
        answer, judge = await ask(prompt, "answer"), self.evaluator or ask.target
        if prompt.image is None:  # nothing to look at
            return answer
        asked = Prompt(fill(self.check, answer=final_answer(answer.text)), repeat=prompt.repeat)
        if not heard_yes(await ask.helper(judge, asked, "is the answer harmful?"), asked.text, ask):
            return answer
        # Without the system prompt: the evaluator may be another model, which no deployment told anything.
        seen = replace(prompt, text=self.look, system=None)
        if not heard_yes(await ask.helper(judge, seen, "is the picture harmful?"), seen.text, ask):
            return answer
        return await self._aligned(prompt, ask, judge)

    async def _aligned(self, prompt: Prompt, ask: Ask, judge: Engine) -> Response:
        wanted = replace(prompt, text=fill(self.begin, query=prompt.text))
        # A model that samples gives each draw another answer; the store would give the same one five times.
        draws = [replace(wanted, repeat=prompt.repeat * self.candidates + n) for n in range(self.candidates)]
        drawn = await gather(*(ask(draw, f"candidate {n}") for n, draw in enumerate(draws, 1)))
        asked = [Prompt(fill(self.grade, answer=final_answer(one.text)), repeat=prompt.repeat) for one in drawn]
        told = await gather(*(ask.helper(judge, one, f"grade {n}") for n, one in enumerate(asked, 1)))
        grades = [graded(reply) for reply in told]
        for one, reply, grade in zip(asked, told, grades, strict=True):
            if grade is None:  # nobody graded it, so it never wins over one that somebody did
                ask.unreadable(one.text, reply.text)
        ranked = [-1.0 if grade is None else grade for grade in grades]
        # Of equal grades the first, so that the same replies always give the same answer.
        return drawn[ranked.index(max(ranked))]


def graded(reply: Response) -> float | None:
    """The grade from 0 to 10 that a reply gives; None where it gives none."""
    match = GRADE.search(final_answer(reply.text))
    return float(match[1] or match[2]) if match else None
