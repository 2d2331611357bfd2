"""CoCA: a safety principle in front of the query, and its effect on every token's logits amplified.

After Gao et al., CoCA (COLM 2024, arXiv 2409.11365; no code of its authors is public). Theirs is the calibration: the
logits with the principle, plus `weight` times their difference to those without it, at every token, from the same model
in the same state of the answer. Ours are the principle's wording and the weight, of which the paper's text was not at
hand. It needs the logits: local models only, innermost of all defenses, without beams.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import PositiveFloat

from mmsb.config import settings
from mmsb.defense.base import Ask
from mmsb.errors import ConfigError
from mmsb.types import How, Prompt, Response


@settings
class CoCA:
    """One call that reads two prompts: a second pass of the model for every token.

    Attributes:
        name: the name for tables.
        principle: goes in front of the query.
        weight: how much of the principle's effect is added once more.
    """

    name: str
    principle: str
    weight: PositiveFloat = 1.0

    def __post_init__(self) -> None:
        """Refuse what would change nothing.

        Raises:
            ConfigError: an empty principle.
        """
        if not self.principle.strip():
            raise ConfigError(f"defense.{self.name}.principle is empty: there is no effect to amplify")

    def fingerprint(self) -> dict[str, object]:
        """The principle and the weight."""
        return {"coca": self.principle, "weight": self.weight}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The answer whose logits are calibrated.

        Raises:
            ConfigError: a target without logits at hand, or a defense behind it, which would see one prompt of two.
        """
        # Asked of the engine and not of its type, so that a package of the user's own can offer it.
        if not getattr(ask.target, "CONTRASTS", False):
            raise ConfigError(
                f"defense.{self.name} needs the logits of every token, and {ask.target.name} does not give them",
                "Use a local model that transformers loads natively (model=hf, llava_1_5_7b, ...), or another defense.",
            )
        if getattr(ask.target, "decoding", {}).get("num_beams", 1) > 1:
            raise ConfigError(f"defense.{self.name} cannot follow beams", "Add protocol=greedy.")
        if ask.inner:
            raise ConfigError(
                f"defense.{self.name} must be the last one named: a defense behind it would change one of its prompts",
                f"defense=[...,{self.name}]",
            )
        # The text without the principle goes in the prompt's identity too: another weight is another answer in the
        # store.
        how = How(without=prompt.text, weight=self.weight)
        return await ask(replace(prompt, text=f"{self.principle}\n{prompt.text}", how=how))
