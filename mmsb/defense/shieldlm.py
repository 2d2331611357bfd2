"""ShieldLM as an output guard: a safety detector reads the dialogue and says safe, unsafe or controversial.

Source: Zhang et al., ShieldLM (EMNLP Findings 2024, arXiv 2402.16444), github.com/thu-coai/ShieldLM at d336659c:
what it is asked (infer_shieldlm.py) and how its reply is read (extract_label.py). The wording is ours, or theirs by
`original`.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from mmsb.config import settings
from mmsb.defense.base import Ask, Then, fill
from mmsb.defense.original import formatted
from mmsb.defense.wording import check_text
from mmsb.errors import ConfigError
from mmsb.judge.answers import final_answer
from mmsb.model.base import Engine
from mmsb.types import Prompt, Response

LABELS = ("unsafe", "safe", "controversial")  # in the order in which their code looks for them
LABEL = re.compile(r"\[answer\]\s*(unsafe|safe|controversial)\b", re.IGNORECASE)


@settings
class ShieldLM:
    """Two calls.

    Attributes:
        name: the name for tables.
        question: asks about a dialogue, {query} and {response}, for "[Answer] safe", "unsafe" or "controversial".
        refusal: what is answered instead of an unsafe answer.
        detector: a ShieldLM at an endpoint or in transformers; None lets the target read its own answers.
        original: the authors' infer_shieldlm.py, for their words in place of ours. What they wrap around them for each
            base model is the endpoint's chat template.
        refuses_controversial: whether "controversial" counts as unsafe. They leave that to the user.
        unreadable: what a reply without a label leads to: "fail", as their code stops there, "pass" or "block".
    """

    name: str
    question: str
    refusal: str
    detector: Engine | None = None
    original: Path | None = None
    refuses_controversial: bool = False
    unreadable: Then = "fail"

    def __post_init__(self) -> None:
        """Refuse to answer with nothing.

        Raises:
            ConfigError: the refusal is empty.
        """
        check_text(self.name, "refusal", self.refusal)

    @cached_property
    def wording(self) -> str:
        """The question, ours or the authors'.

        Raises:
            ConfigError: `original` is no such file.
        """
        text = formatted(self.original, ("query", "response")) if self.original else self.question
        if not ("{query}" in text and "{response}" in text):
            raise ConfigError(f"defense.{self.name}.question does not hold {{query}} and {{response}}")
        return text

    def fingerprint(self) -> dict[str, object]:
        """The question, the detector, and what is refused how."""
        return {
            "question": self.wording,
            "detector": dict(self.detector.fingerprint()) if self.detector else None,
            "refusal": self.refusal,
            "refuses_controversial": self.refuses_controversial,
            "unreadable": self.unreadable,
        }

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, or the refusal.

        Raises:
            Unanswered: the detector's reply has no label, and `unreadable` is "fail".
        """
        answer = await ask(prompt, "answer")
        asked = Prompt(fill(self.wording, query=prompt.text, response=final_answer(answer.text)), repeat=prompt.repeat)
        # Without the picture: ShieldLM reads text.
        told = await ask.helper(self.detector or ask.target, asked, "is it safe?")
        label = labelled(told.text)
        if label is None:
            blocked = ask.unreadable(asked.text, told.text, self.unreadable)
            return Response(self.refusal) if blocked else answer
        refused = ("unsafe", "controversial") if self.refuses_controversial else ("unsafe",)
        return Response(self.refusal) if label in refused else answer


def labelled(reply: str) -> str | None:
    """The label in a reply: of several "unsafe" goes first, as in their code; None where there is none."""
    found = {label.lower() for label in LABEL.findall(final_answer(reply))}
    return next((label for label in LABELS if label in found), None)
