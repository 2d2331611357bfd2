"""The room that an account has for batches. A provider refuses what goes beyond it as a whole: unanswered, unpaid."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field

LOOK = 2.0  # seconds between two looks at whether another batch has ended
HALVED = 6  # times in a row, after which others' batches take the room and not the size of ours


@dataclass
class Room:
    """What one engine has under way.

    Attributes:
        most: prompts of the next batch.
        under_way: batches that have not ended, by their records' names.
    """

    most: int = sys.maxsize
    under_way: set[str] = field(default_factory=set)
    _halved: int = 0

    def ended(self) -> None:
        """A batch was taken, and has come to its end."""
        self._halved = 0

    async def wait(self, prompts: int) -> bool:
        """After a batch of so many prompts had no room: until there may be some; tells whether that helps."""
        if others := set(self.under_way):
            while others <= self.under_way:
                await asyncio.sleep(LOOK)
            return True
        self.most, self._halved = max(1, prompts // 2), self._halved + 1
        return prompts > 1 and self._halved <= HALVED
