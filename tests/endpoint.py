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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once, for tests of what comes of them and not of when they come."""
    monkeypatch.setattr("mmsb.model.endpoint.JITTER", 0.02)
    monkeypatch.setattr("mmsb.model.endpoint.back_off", wait_exponential_jitter(multiplier=0.02, max=1, jitter=0.02))
    monkeypatch.setattr("mmsb.model.governor.PROBE_SECONDS", 0.05)
    monkeypatch.setattr("mmsb.model.governor.LOOK_SECONDS", 0.01)
