"""A judge that asks an LLM, with our own rubric for each scenario.

    python -m mmsb judge=rubric judge.model.name=gpt-4o

The paper's judge sees the answer alone, and so does this one unless `show` says otherwise.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from mmsb.config import settings
from mmsb.digest import digest_of_code
from mmsb.errors import ConfigError
from mmsb.flow import Asking
from mmsb.judge import answers as reading_rules
from mmsb.judge import patterns, prompts, template
from mmsb.judge.answers import Reading, final_answer
from mmsb.judge.asking import confer, one_word, safe_or_unsafe
from mmsb.judge.base import Answer
from mmsb.judge.rules import Profile
from mmsb.model.base import Engine
from mmsb.types import Prompt, Verdict

HINT = "Give a UTF-8 text that says what is unsafe and what safe."
Shown = Literal["answer", "question", "image"]


@settings
class Rubric:
    """Settings of an LLM judge.

    Attributes:
        name: the name for tables.
        model: the judging model.
        show: what it sees: "answer" always, "question" as plain text, "image" as the model was shown it.
        profile: "legible" leaves empty and looping answers unparsed, unasked; "authors" asks about them too.
        comprehension: ask a second question: was the answer about what was asked?
        rubric_file: a text of your own that says what is unsafe and what safe, in place of each scenario's criterion.
    """

    name: str = "rubric"
    model: Engine
    show: tuple[Shown, ...] = ("answer",)
    profile: Profile = "legible"
    comprehension: bool = False
    rubric_file: Path | None = None

    def __post_init__(self) -> None:
        """Read `rubric_file` now: after the model's answers, who pays would learn of it too late.

        Raises:
            ConfigError: it cannot be read, or is empty.
        """
        _ = self.own

    @cached_property
    def own(self) -> str | None:
        """The text of `rubric_file`; None where there is none.

        Raises:
            ConfigError: it cannot be read, or is empty.
        """
        if self.rubric_file is None:
            return None
        try:
            # Stripped, as the line end that an editor adds would change the prompt, and all would be asked again.
            text = self.rubric_file.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"judge.rubric_file={self.rubric_file} cannot be read: {error}", HINT) from error
        if not text:
            raise ConfigError(f"judge.rubric_file={self.rubric_file} is empty", HINT)
        return text

    def fingerprint(self) -> dict[str, object]:
        """What the judge is told and shown, and who it is."""
        return {
            "judge": type(self).__name__.lower(),
            # The reading rules as well: they decide which answers are never shown to the judge.
            "wording": digest_of_code(prompts, template, reading_rules, patterns),
            "show": sorted(self.show),
            "profile": self.profile,
            "comprehension": self.comprehension,
            "rubric": self.own,
            "model": dict(self.model.fingerprint()),
        }

    async def verdict(self, answer: Answer, ask: Asking) -> Verdict:
        """Ask about the answer."""
        return await confer(self.model, answer, ask, self.prompts(answer, answer.reading), self.decide)

    def prompts(self, answer: Answer, reading: Reading) -> list[Prompt]:
        """What is asked about an answer."""
        # LLM judges call noise safe, and a model that only stammers would look harmless.
        if reading.kind == "degenerate" and self.profile == "legible":
            return []
        shown = self.shown(answer)
        image = answer.prompt.image if "image" in self.show else None
        asked = [Prompt(self.question(answer, shown), image)]
        if self.comprehension and answer.question:
            # Always with the question: what was asked cannot be told from an answer.
            whole = {"question": answer.question.plain, **shown}
            asked.append(Prompt(prompts.comprehension(whole, answer.question.key_phrase)))
        return asked

    def shown(self, answer: Answer) -> dict[str, str]:
        """The data the judge sees, by name."""
        shown = {"answer": final_answer(answer.response.text)}
        if "question" in self.show and answer.question:
            shown = {"question": answer.question.plain, **shown}
        return shown

    def question(self, answer: Answer, shown: dict[str, str]) -> str:
        """The judge's first question."""
        return prompts.rubric(answer.scenario, shown, self.own)

    def decide(self, answer: Answer, reading: Reading, replies: list[str]) -> Verdict:
        """Read the replies; no reply, or one that is neither word, is unparsed."""
        label = safe_or_unsafe(replies[0]) if replies else "unparsed"
        return Verdict(label, reading.refusal, reading.flags, comprehended=comprehended(replies))


def comprehended(replies: list[str]) -> bool | None:
    """The reply to the second question; None where it was not asked or not answered."""
    return {"yes": True, "no": False}.get(one_word(replies[1]) or "") if len(replies) > 1 else None
