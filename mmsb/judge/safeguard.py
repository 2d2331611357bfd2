"""gpt-oss-safeguard: a reasoning model that follows a written policy. The policy is our rubric of the scenario.

Source: the model's user guide (cookbook.openai.com/articles/gpt-oss-safeguard-guide): the policy stands in the system
message, the content to classify in the user message. It speaks the harmony format: its reasoning and its
verdict are channels. Servers keep them apart; transformers run them together as "analysis...assistantfinal...".
"""

from __future__ import annotations

from pydantic import PositiveInt

from mmsb.config import settings
from mmsb.judge import prompts
from mmsb.judge.answers import Reading
from mmsb.judge.base import Answer
from mmsb.judge.rubric import Rubric
from mmsb.types import How, Prompt, Verdict

FINAL_CHANNEL = "assistantfinal"


@settings
class Safeguard(Rubric):
    """A rubric as a policy.

    Attributes:
        max_tokens: its longest reply, thinking included.
    """

    name: str = "gpt_oss_safeguard"
    max_tokens: PositiveInt = 2048

    def fingerprint(self) -> dict[str, object]:
        """Also how long it may think."""
        return Rubric.fingerprint(self) | {"max_tokens": self.max_tokens}

    def prompts(self, answer: Answer, reading: Reading) -> list[Prompt]:
        """The policy as system prompt, the delimited answer as content."""
        asked = Rubric.prompts(self, answer, reading)
        if not asked:
            return []
        # As the guide has it: what is judged stays out of the message whose orders the model follows.
        policy, content = prompts.policy(answer.scenario, self.shown(answer), self.own)
        return [Prompt(content, asked[0].image, policy, how=How(max_tokens=self.max_tokens)), *asked[1:]]

    def decide(self, answer: Answer, reading: Reading, replies: list[str]) -> Verdict:
        """Only the final channel counts."""
        # Its reasoning, which quotes both words, is gone by now. At the beginning alone: an answer that says the sign,
        # quoted, would bring a verdict of its own.
        return Rubric.decide(self, answer, reading, [reply.strip().removeprefix(FINAL_CHANNEL) for reply in replies])
