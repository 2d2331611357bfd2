"""Masked copies of the picture and a majority vote: against adversarial patches, after SmoothVLM (Sun et al. 2024).

Its code is not public; the number of copies and the share of masked pixels are ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from mmsb.config import settings
from mmsb.defense.base import Ask
from mmsb.defense.image import majority
from mmsb.defense.mutation import Mutated
from mmsb.flow import gather
from mmsb.types import Prompt, Response


@settings
class SmoothMask:
    """A call for each copy; a prompt without a picture is asked once, as it is.

    Attributes:
        name: the name for tables.
        share: of the pixels that are black in each copy, at random.
        votes: how many copies. The majority decides between refusing and answering, a tie refuses.
    """

    name: str
    share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    votes: PositiveInt = 5

    NEEDS_PICTURE: ClassVar[bool] = True  # it passes a prompt without one on as it is

    def fingerprint(self) -> dict[str, object]:
        """The share and the number of votes."""
        return {"mask": self.share, "votes": self.votes}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The first answer of the larger camp."""
        picture = prompt.image
        if picture is None:
            return await ask(prompt, "answer")
        # Numbered, so that each copy has an identity of its own and the store keeps five answers apart.
        copies = [replace(prompt, image=Mutated(picture, "mask", n, self.share)) for n in range(self.votes)]
        return await majority(await gather(*(ask(copy, f"vote {n}") for n, copy in enumerate(copies, 1))), ask)
