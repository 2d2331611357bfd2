"""The endpoint that tests ask, and what it does to them most often. It is the one that `mmsb.faults` serves."""

from __future__ import annotations

import pytest
from tenacity import wait_exponential_jitter

from mmsb.faults.replies import Act, Messages, completion, error, text_completion, text_of
from mmsb.faults.server import ChatServer

__all__ = [
    "CUT",
    "GARBAGE",
    "HANG",
    "IMPATIENT",
    "Act",
    "ChatServer",
    "Messages",
    "completion",
    "error",
    "impatient",
    "text_completion",
    "text_of",
]

HANG, CUT, GARBAGE = Act(delay=3600), Act(end="cut"), Act(body=b"<html>no</html>")


IMPATIENT = {  # attempts follow each other at once
    "mmsb.model.attempts.JITTER": 0.02,
    "mmsb.model.attempts.back_off": wait_exponential_jitter(multiplier=0.02, max=1, jitter=0.02),
    "mmsb.model.governor.PROBE_SECONDS": 0.05,
    "mmsb.model.governor.LOOK_SECONDS": 0.01,
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what comes of attempts and not of when they come."""
    for name, value in IMPATIENT.items():
        monkeypatch.setattr(name, value)
