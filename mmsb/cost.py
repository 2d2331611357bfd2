"""What a run costs: calls, tokens, seconds and money, by stage (prepare, answer, judge), role and model.

It is the price of the whole as if nothing had been in the store. Money is known where the price table knows the model
by its name and the model counts its tokens; everything else is named as unpriced and never counted as free.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmsb.bill import Spent
from mmsb.flow import Call
from mmsb.prices import Prices
from mmsb.types import Failure, Outcome, Prompt, Response

NUMBER = re.compile(r" \d+$")  # "vote 3": its votes are one line
NO_COST: Mapping[str, Any] = {"lines": []}  # of a run that was judged again: nothing was answered
COUNTS = ("calls", "failed", "input_tokens", "output_tokens", "seconds", "dollars")


@dataclass
class Costs:
    """Sums up calls while a run goes on, by stage, role and model."""

    lines: dict[tuple[str, str, str], Spent] = field(default_factory=dict)

    def add(self, calls: Iterable[Call]) -> None:
        """Count calls of models; a reading by rules is none."""
        for call in calls:
            # Rules read every answer: counted as calls they would double each figure.
            if call.counted:
                key = (call.stage, NUMBER.sub("", call.role or call.stage), call.engine)
                self.lines.setdefault(key, Spent()).count(call.outcome)

    def add_recorded(self, call: Mapping[str, Any]) -> None:
        """Count a call as a run's file of calls has it."""
        reply: Outcome = Failure("failed", "")
        if "cause" not in call:
            given, came = call["input_tokens"], call["output_tokens"]
            reply = Response("", "stop", given, came, call["seconds"], call["calls"])
        who = (call["stage"], call["role"], call["engine"])
        self.add([Call(*who, Prompt(""), reply, call["started"], call["ended"], call["counted"])])

    def record(self, prices: Prices | None) -> dict[str, Any]:
        """The lines as JSON values, those of the whole run priced where the table knows their model."""
        lines, unpriced = [], set()
        for (stage, role, model), spent in sorted(self.lines.items(), key=lambda item: item[0]):
            spent.price(model, prices)
            lines.append({"stage": stage, "role": role, "model": model, **asdict(spent)})
            if spent.dollars is None:
                unpriced.add(model)
        return {"lines": lines, "prices": str(prices.read) if prices else None, "unpriced": sorted(unpriced)}


def total(cost: Mapping[str, Any], *stages: str) -> dict[str, float | None]:
    """The sums over stages of a recorded cost (none named: all).

    A sum with an unpriced line has no dollars; one with a reply that nobody counted has no tokens.
    """
    lines = [line for line in cost["lines"] if not stages or line["stage"] in stages]
    found: dict[str, float | None] = {}
    for name in COUNTS:
        # One unknown part makes the whole unknown: a sum without it would be too low and look complete.
        untold = name.endswith("_tokens") and any(line["uncounted"] for line in lines)
        values: list[Any] = [None if untold else line[name] for line in lines]
        found[name] = None if None in values else sum(values)
    return found


def price(cost: Mapping[str, Any], *stages: str) -> dict[str, float | None]:
    """The same as one figure each: a call that failed was made too; where none was answered, nobody knows the rest."""
    found = total(cost, *stages)
    answered, failed = found["calls"] or 0, found["failed"] or 0
    unknown = dict.fromkeys(COUNTS[2:]) if failed and not answered else {}
    return found | unknown | {"calls": answered + failed}


def a_sample(record: Mapping[str, Any]) -> dict[str, float | None]:
    """What a sample of a recorded run cost, preparations shared out; of a run judged again the calls alone.

    Calls that failed are put at what the answered ones beside them took: a run with many would look cheap.
    """
    samples = record["dataset"]["samples"]
    cost = record.get("cost", NO_COST)
    cost = {**cost, "lines": [_as_if_answered(line) for line in cost["lines"]]}
    spent = price(cost, "prepare", "answer") if cost["lines"] else {"calls": record["totals"]["calls"]}
    return {name: None if value is None else value / samples for name, value in spent.items()}


def _as_if_answered(line: Mapping[str, Any]) -> dict[str, Any]:
    answered, failed = line["calls"], line["failed"]
    share = 1 + failed / answered if answered else 1.0
    nobody = bool(failed and not answered)
    return {**line, **{name: None if nobody or line[name] is None else line[name] * share for name in COUNTS[2:]}}
