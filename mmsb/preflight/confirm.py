"""A plan that costs much is confirmed by a person, or by a limit that was set; nothing waits where nobody is."""

from __future__ import annotations

import sys

from mmsb.budget import Budget
from mmsb.cli import say
from mmsb.errors import MmsbError
from mmsb.preflight.plan import Plan
from mmsb.prices import duration, money


class Unconfirmed(MmsbError):
    """A plan costs more than may be spent unasked."""


def confirm(plan: Plan, budget: Budget) -> None:
    """Have the plan confirmed where it costs more than `budget.confirm` and no limit of money is set.

    Raises:
        Unconfirmed: it is not, or nobody is there to be asked.
    """
    for line in beyond(plan, budget):
        say(line)
    spent = plan.dollars
    if budget.confirm is None or budget.money is not None or spent is None or spent[0] <= budget.confirm:
        return
    told = f"this is expected to cost {money(spent[0])}, more than budget.confirm={budget.confirm:g}"
    remedy = f"budget.money={spent[0]:.2f} allows it, and no more; budget.confirm=null never asks."
    # Both: with its errors in a file nobody would see the question, and the command would wait for ever.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Unconfirmed(f"{told}, and there is no terminal to confirm it on: nothing was started", remedy)
    print(f"{told}. Start? [y/N] ", end="", file=sys.stderr, flush=True)
    # Anything but a yes is a no: a key pressed by mistake must not spend money, nor the end of the input.
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        raise Unconfirmed("not confirmed: nothing was started", remedy)


def beyond(plan: Plan, budget: Budget) -> list[str]:
    """What is said of limits that the plan exceeds: they are kept, and that is no error."""
    spent, seconds, found = plan.dollars, plan.seconds, []
    calls = sum(line.calls for line in plan.asked)
    if budget.money is not None and spent and spent[0] > budget.money:
        found.append(f"budget.money={budget.money:g}, and {money(spent[0])} are expected")
    if budget.calls is not None and calls > budget.calls:
        found.append(f"budget.calls={budget.calls}, and {calls:,.0f} are expected")
    if budget.time is not None and seconds and seconds > budget.time:
        found.append(f"budget.time={budget.time:g}, and {duration(seconds)} are expected")
    return [f"  stops on its way, and can go on later: {one}" for one in found]
