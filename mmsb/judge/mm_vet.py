"""Grades free answers to test questions from 0.0 to 1.0, as MM-Vet's evaluator does.

Source: MM-Vet (arXiv 2308.02490, github.com/yuweihao/MM-Vet at acde843e, mm-vet_evaluator.py): one question to an LLM
(theirs was gpt-4-0613) that sees question, right answer and answer. The right answer joins with <AND> what must all be
there, and with <OR> what is enough. The wording is ours, or theirs by `original`: then nothing protects the grader from
an answer that speaks to it. Theirs asks up to five times for a grade it can read, ever more at random, and then takes
0.0; here a reply that is no grade leaves the answer ungraded, in no rate.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from mmsb.config import settings
from mmsb.digest import digest_of_code
from mmsb.errors import ConfigError
from mmsb.flow import Asking
from mmsb.judge import prompts
from mmsb.judge.answers import Reading, final_answer
from mmsb.judge.asking import confer
from mmsb.judge.base import Answer
from mmsb.judge.template import plain
from mmsb.model.base import Engine
from mmsb.scripts import parsed, texts
from mmsb.types import Prompt, Verdict

# No point or minus may go before it (".1" is no 1), and no range or share follow ("0.0 to 1.0", "1/10"). A whole number
# stands alone: before words it counts them, or begins a list.
GRADE = re.compile(
    r"[^\w.-]*(0?\.\d+|1\.0+|[01](?=[^\w.,-]*(?:\n|\Z)|\.\s*\Z))(?![\d.,]*\d)"
    r"(?!\s*(?:/|%|out of\b|(?:to|or|and|-|\u2013)\s*[\d.]))",
    re.IGNORECASE,
)
GRADES = re.compile(r"(?<![\w.,-])(?:0?\.\d+|1\.0+)(?![\w,]*\d)|(?<=\n)[01](?=\s*(?:\n|\Z))")
CUT_OFF = re.compile(r"[\d.]\s*\Z")
HINT = "Give mm-vet_evaluator.py of a checkout of github.com/yuweihao/MM-Vet: judge.original=.../mm-vet_evaluator.py"


@settings
class MMVetGrader:
    """Settings of the grader.

    Attributes:
        name: the name for tables.
        model: the grading model.
        original: the authors' mm-vet_evaluator.py, for their words and examples in place of ours.
    """

    name: str = "mm_vet"
    model: Engine
    original: Path | None = None

    GRADES: ClassVar[bool] = True

    @cached_property
    def theirs(self) -> str | None:
        """The authors' text; None for ours.

        Raises:
            ConfigError: `original` is no such file.
        """
        return None if self.original is None else read_prompt(self.original)

    def fingerprint(self) -> dict[str, object]:
        """What the grader is told, and who it is."""
        wording = self.theirs or digest_of_code(prompts)
        return {"judge": "mm_vet", "wording": wording, "model": dict(self.model.fingerprint())}

    async def verdict(self, answer: Answer, ask: Asking) -> Verdict:
        """Ask for the grade of an answer.

        Raises:
            ConfigError: the question has no known answer.
        """
        if answer.question is None or answer.question.solution is None:
            raise ConfigError(
                "judge=mm_vet grades answers to test questions, and these have no known answer",
                "Use it with dataset=mm_vet, or another judge.",
            )
        # With blanks, as their script puts them before it asks.
        right = answer.question.solution.right.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
        said = final_answer(answer.response.text)
        if self.theirs:
            text = f"{self.theirs}\n" + " | ".join([answer.question.plain, right, plain(said), ""])
        else:
            text = prompts.correctness({"question": answer.question.plain, "right-answer": right, "answer": said})
        verdict = await confer(self.model, answer, ask, [Prompt(text)], self.decide)
        # Cut off there, "0." may have become 0.7.
        if "judge_truncated" in verdict.flags and CUT_OFF.search(verdict.raw):
            return replace(verdict, label="unparsed", correct=None)
        return verdict

    def decide(self, answer: Answer, reading: Reading, replies: list[str]) -> Verdict:
        """A grade from 0 to 1 at the beginning of the reply; anything else, or two, leaves the answer ungraded."""
        match = GRADE.match(replies[0])
        if match is None or any(float(other) != float(match[1]) for other in GRADES.findall(replies[0])):
            return Verdict("unparsed", reading.refusal, reading.flags)
        return Verdict("safe", reading.refusal, reading.flags, correct=float(match[1]))


def read_prompt(path: Path) -> str:
    """The text that the authors' file calls `prompt`. Parsed, never executed.

    Raises:
        ConfigError: the file cannot be read, or holds no such text.
    """
    for name, text in texts(parsed(path, "judge.original", HINT).body):
        if name == "prompt":
            return text
    raise ConfigError(f"judge.original={path} holds no text named prompt", HINT)
