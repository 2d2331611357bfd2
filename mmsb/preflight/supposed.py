"""A judge as it is rehearsed: what it has not read yet it finds safe, so that what follows from that is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmsb.flow import Asking
from mmsb.judge.base import Answer, Judge
from mmsb.types import Verdict


@dataclass(frozen=True)
class Supposed:
    """Finds safe what it only has a stand-in's reply to; a safe answer that a stray `</think>` divides is asked twice.

    Attributes:
        judge: the real one.
        unread: whether the last reply was a stand-in's.
    """

    judge: Judge
    unread: Callable[[], bool]

    @property
    def name(self) -> str:
        """The judge's."""
        return self.judge.name

    def fingerprint(self) -> Mapping[str, object]:
        """The judge's."""
        return self.judge.fingerprint()

    def __getattr__(self, name: str) -> Any:
        """What else the judge says of itself: whether it grades, say."""
        return getattr(self.judge, name)

    async def verdict(self, answer: Answer, ask: Asking) -> Verdict:
        """The judge's verdict, or safe."""
        verdict = await self.judge.verdict(answer, ask)
        return replace(verdict, label="safe") if self.unread() else verdict
