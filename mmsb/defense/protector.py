"""MLLM-Protector: a harm detector reads each answer; what it finds harmful is rewritten by a detoxifier, or refused.

After Pi et al., MLLM-Protector (arXiv 2401.02906; github.com/pipilurj/MLLM-protector at 390e326b, llava/eval/
robustness_eval.py). The order is theirs, and that the detector is shown the answer alone. Theirs are a classifier
and a model trained for it; here any judge and any model, and without them the target itself. The wording is ours.
"""

from __future__ import annotations

from dataclasses import replace

from mmsb.config import settings
from mmsb.defense.base import Ask, fill, heard_yes
from mmsb.defense.wording import check_text
from mmsb.judge.answers import final_answer
from mmsb.judge.base import Judge
from mmsb.model.base import Engine
from mmsb.types import Prompt, Response


@settings
class Protector:
    """Two calls for an answer found harmless, three for one that is rewritten.

    Attributes:
        name: the name for tables.
        question: asks the target itself about {answer}, yes or no, where `detector` is None.
        rewrite: asks the detoxifier for a harmless version of {answer}.
        refusal: what is answered where nothing is rewritten.
        detector: any judge; it is shown the answer, with no request before it.
        detoxifier: the model that rewrites; None with `rewrites` lets the target do it.
        rewrites: whether a harmful answer is rewritten, or refused.
    """

    name: str
    question: str
    rewrite: str
    refusal: str
    detector: Judge | None = None
    detoxifier: Engine | None = None
    rewrites: bool = True

    def __post_init__(self) -> None:
        """Refuse texts that would be the same for every sample.

        Raises:
            ConfigError: one is empty, or lacks a place.
        """
        if self.detector is None:
            check_text(self.name, "question", self.question, "answer")
        if self.rewrites:
            check_text(self.name, "rewrite", self.rewrite, "answer")
        check_text(self.name, "refusal", self.refusal)

    def fingerprint(self) -> dict[str, object]:
        """The detector or the question in its place, and what becomes of a harmful answer."""
        return {
            "detector": dict(self.detector.fingerprint()) if self.detector else self.question,
            "detoxifier": dict(self.detoxifier.fingerprint()) if self.detoxifier else None,
            "harmful": [self.rewrite, self.refusal] if self.rewrites else self.refusal,
        }

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, or what stands in place of a harmful one."""
        answer = await ask(prompt, "answer")
        if not await self._harmful(final_answer(answer.text), prompt.repeat, ask):
            return answer
        if not self.rewrites:
            return Response(self.refusal)
        wanted = Prompt(fill(self.rewrite, answer=final_answer(answer.text)), repeat=prompt.repeat)
        better = await ask.helper(self.detoxifier or ask.target, wanted, "rewritten")
        # An empty rewriting would be read as an answer that says nothing: neither the harm nor a refusal.
        return replace(better, text=final_answer(better.text) or self.refusal, sent=answer.sent)

    async def _harmful(self, text: str, repeat: int, ask: Ask) -> bool:
        # The detector is trained on answers alone: the request would be read as part of one.
        alone = Prompt("", repeat=repeat)
        if self.detector:
            label = await ask.screen(self.detector, alone, text, "is it harmful?")
            if label not in ("safe", "unsafe"):
                ask.unreadable(text, label)
            return label == "unsafe"
        asked = replace(alone, text=fill(self.question, answer=text))
        return heard_yes(await ask.model(asked, "is it harmful?"), asked.text, ask)
