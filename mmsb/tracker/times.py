"""When the calls of a sample took place: what was answered before, by an earlier start or another run, at its time.

A run that is killed and resumed so shows the times of one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Call = Mapping[str, Any]
Times = tuple[float, float]  # begin and end, in seconds since the epoch
SLACK = 0.05  # seconds by which two clocks may differ


@dataclass(frozen=True, slots=True)
class When:
    """The times of a sample's calls.

    Attributes:
        calls: of each call, in their order.
        whole: of the sample.
        seconds: how long some call was under way; None where that is not known.
    """

    calls: Sequence[Times]
    whole: Times
    seconds: float | None


def when(calls: Sequence[Call], now: float) -> When:
    """The times of a sample's calls.

    An answer that was first given to another sample may be older than what it was asked about here. Such times would
    show effects before their causes, so those of this run are shown, in which it took none, and the sum is unknown.

    Args:
        calls: in the order in which they began.
        now: in seconds since the epoch, for a sample without calls.
    """
    if not calls:
        return When((), (now, now), None)
    here = [(float(call["started"]), float(call["ended"])) for call in calls]
    then = _then(calls, here)
    shown = then or here
    whole = min(begin for begin, _ in shown), max(end for _, end in shown)
    return When(shown, whole, _under_way(then) if then else None)


def before(call: Call) -> bool:
    """Whether the answer was there before it was asked for."""
    if "cause" in call:  # what fails is not kept
        return False
    return call["at"] is None or call["at"] < call["started"]  # None: from a store of before the times were kept


def _then(calls: Sequence[Call], here: Sequence[Times]) -> list[Times] | None:
    """When each was really asked; None where that is not known or contradicts their order."""
    found: list[Times] = []
    for number, call in enumerate(calls):
        # What had ended here before this call began is what it may have been made of: it must not lie after it there
        # either.
        after = max((found[n][1] for n in range(number) if here[n][1] <= here[number][0]), default=0.0)
        times = _asked(call, here[number], after)
        if times is None or times[0] < after - SLACK:
            return None
        found.append(times)
    return found


def _asked(call: Call, here: Times, after: float) -> Times | None:
    if not call["counted"]:  # a reading by rules takes its time whenever it is made
        begin = max(after, here[0]) if not before(call) else after or here[0]
        return begin, begin + here[1] - here[0]
    if "cause" in call:
        return here
    return None if call["at"] is None else (call["at"] - call["seconds"], float(call["at"]))


def _under_way(spans: Sequence[Times]) -> float:
    """Seconds in which at least one was under way: the days between two starts of a run are not counted."""
    total, reached = 0.0, 0.0
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
