"""What a run costs: calls, tokens, seconds and money, by stage (prepare, answer, judge), role and model.

It is the price of the whole as if nothing had been in the store. Money is known where the price table knows the model
by its name and the model counts its tokens; everything else is named as unpriced and never counted as free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmsb.flow import Call
from mmsb.prices import Prices
from mmsb.types import Failure, Outcome, Prompt, Response

NUMBER = re.compile(r" \d+$")  # "vote 3": its votes are one line
NO_COST: Mapping[str, Any] = {"lines": []}  # of a run that was judged again: nothing was answered
COUNTS = ("calls", "failed", "input_tokens", "output_tokens", "seconds", "dollars")


@dataclass
class Line:
    """The calls of one stage, role and model. `dollars` is None where nobody knows them."""

    stage: str
    role: str
    model: str
    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    dollars: float | None = None
    uncounted: int = 0  # calls whose tokens nobody counted


@dataclass
class Costs:
    """Sums up calls while a run goes on."""

    lines: dict[tuple[str, str, str], Line] = field(default_factory=dict)

    def add(self, calls: Iterable[Call]) -> None:
        """Count calls of models; a reading by rules is none."""
        for call in calls:
            # Rules read every answer: counted as calls they would double each figure.
            if call.counted:
                key = (call.stage, NUMBER.sub("", call.role or call.stage), call.engine)
                self._count(self.lines.setdefault(key, Line(*key)), call)

    def add_recorded(self, call: Mapping[str, Any]) -> None:
        """Count a call as a run's file of calls has it."""
        reply: Outcome = Failure("failed", "")
        if "cause" not in call:
            given, came = call["input_tokens"], call["output_tokens"]
            reply = Response("", "stop", given, came, call["seconds"], call["calls"])
        who = (call["stage"], call["role"], call["engine"])
        self.add([Call(*who, Prompt(""), reply, call["started"], call["ended"], call["counted"])])

    def _count(self, line: Line, call: Call) -> None:
        reply = call.outcome
        if isinstance(reply, Failure):
            line.failed += 1
            return
        line.calls += reply.calls  # two where a late request got a second one beside it
        line.input_tokens += reply.input_tokens or 0
        line.output_tokens += reply.output_tokens or 0
        line.uncounted += reply.input_tokens is None or reply.output_tokens is None
        line.seconds += reply.seconds

    def record(self, prices: Prices | None) -> dict[str, Any]:
        """The lines as JSON values, those of the whole run priced where the table knows their model."""
        lines = [self.lines[key] for key in sorted(self.lines)]
        for line in lines:
            if prices and not line.uncounted:
                spent = prices.dollars(line.model, line.input_tokens, line.output_tokens)
                line.dollars = sum(spent) if spent else None
        unpriced = sorted({line.model for line in lines if line.dollars is None})
        date = str(prices.read) if prices else None
        return {"lines": [asdict(line) for line in lines], "prices": date, "unpriced": unpriced}


def total(cost: Mapping[str, Any], *stages: str) -> dict[str, float | None]:
    """The sums over stages of a recorded cost (none named: all). A sum with an unpriced line has no dollars."""
    lines = [line for line in cost["lines"] if not stages or line["stage"] in stages]
    found: dict[str, float | None] = {}
    for name in COUNTS:
        # One unknown part makes the whole unknown: a sum without it would be too low and look complete.
        values = [line[name] for line in lines]
        found[name] = None if None in values else sum(values)
    return found


def flat(cost: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """A recorded cost as flat numbers for a tracker: cost/answer/calls and so on, and cost/calls over all stages."""
    stages = dict.fromkeys(line["stage"] for line in cost["lines"])
    if not stages:
        return
    for prefix, chosen in (("cost", ()), *((f"cost/{stage}", (stage,)) for stage in stages)):
        for name, value in total(cost, *chosen).items():
            if value is not None:
                yield f"{prefix}/{name}", float(value)
