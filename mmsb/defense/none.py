"""No defense: the model as it is."""

from __future__ import annotations

from mmsb.config import settings
from mmsb.defense.base import Ask
from mmsb.types import Prompt, Response


@settings
class NoDefense:
    """Leaves the model alone."""

    name: str = "none"

    def fingerprint(self) -> dict[str, object]:
        """Nothing to tell."""
        return {}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's own answer."""
        # Without a role: no step is noted, so that a run without a defense has none in its records.
        return await ask(prompt)
