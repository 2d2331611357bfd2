"""The endpoint that tests ask, and what it does to them most often. It is the one that `mmsb.faults` serves."""

from __future__ import annotations

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
    "text_completion",
    "text_of",
]

HANG, CUT, GARBAGE = Act(delay=3600), Act(end="cut"), Act(body=b"<html>no</html>")
