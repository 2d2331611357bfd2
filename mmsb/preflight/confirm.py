"""A plan that costs much is confirmed by a person, or by a limit that was set; nothing waits where nobody is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmsb.budget import Budget, Spent, announce, spent_in
from mmsb.console import say, tell
from mmsb.errors import MmsbError
from mmsb.preflight.parts import without_hydra
from mmsb.preflight.plan import Plan
from mmsb.prices import duration, money
from mmsb.spending import identity, purse_file
from mmsb.sweep import identity as of_sweep


class Unconfirmed(MmsbError):
    """A plan costs more than may be spent unasked."""


def agreed(config: DictConfig, planned: Plan, budget: Budget, spent: Spent, module: str, runs: int = 1) -> bool:
    """Say what a command will take, have it confirmed, and have all its processes know it.

    Args:
        config: of the command.
        planned: what it will take.
        budget: what it may.
        spent: what earlier tries of it have spent.
        module: the command's.
        runs: how many it has.

    Returns:
        Whether to start: not in a dry run.

    Raises:
        Unconfirmed: it is not.
    """
    told = [*planned.told(runs), *beyond(planned, budget, spent)]
    if config.dry_run:
        tell("\n".join(["dry run: nothing is written", *told]))
        return False
    if planned.asked:
        say("\n".join(told))
    planned.expected.announce()
    confirm(planned, budget)
    announce(module)
    return True


def confirm(plan: Plan, budget: Budget) -> None:
    """Have the plan confirmed where it costs more than `budget.confirm` and no limit of money is set.

    Raises:
        Unconfirmed: it is not, or nobody is there to be asked.
    """
    spent = plan.dollars
    if budget.confirm is None or budget.money is not None or spent is None or spent[0] <= budget.confirm:
        return
    told = f"this is expected to cost {money(spent[0])}, more than budget.confirm={budget.confirm:g}"
    remedy = f"budget.money={spent[0]:.2f} allows it, and no more; budget.confirm=null never asks."
    # Both: with its errors in a file nobody would see the question, and the command would wait for ever.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Unconfirmed(f"{told}, and there is no terminal to confirm it on: nothing was started", remedy)
    print(f"{told}. Start? [y/N] ", end="", file=sys.stderr, flush=True)
    said = sys.stdin.readline()
    if not said:  # Ctrl-D, which ends no line
        print(file=sys.stderr)
    # Anything but a yes is a no: a key pressed by mistake must not spend money, nor the end of the input.
    if said.strip().casefold() not in ("y", "yes"):
        raise Unconfirmed("not confirmed: nothing was started", remedy)


def spent_before(config: DictConfig, output_dir: Path, under: Mapping[str, Any] | None = None) -> Spent:
    """What earlier tries of this command have spent of its budget.

    Args:
        config: composed for the command.
        output_dir: where its runs are kept.
        under: settings of the run that is judged again, which its own stand beside.

    Raises:
        DataError: the file that says it is none.
    """
    if config.hydra.mode == RunMode.MULTIRUN:
        known = of_sweep(config)
    else:
        own = cast("dict[str, Any]", OmegaConf.to_container(without_hydra(config), resolve=True))
        known = identity({**(under or {}), **own})
    return spent_in(purse_file(output_dir, known))


def beyond(plan: Plan, budget: Budget, before: Spent) -> list[str]:
    """What is said of limits that the plan exceeds, with what was spent before: they are kept, and that is no error."""
    money_left, calls, seconds, found = plan.dollars or (0.0, 0.0), plan.calls, plan.seconds, []
    if budget.money is not None:
        spent = f", of which {money(before.dollars)} is spent" if before.dollars else ""
        told = f"budget.money={budget.money:g}{spent}, and {money(money_left[0])} are expected"
        found.append(_told(told, budget.money - before.dollars, *money_left))
    if budget.calls is not None:
        spent = f", of which {before.calls:,} are made" if before.calls else ""
        told = f"budget.calls={budget.calls}{spent}, and {calls.expected:,} are expected"
        found.append(_told(told, budget.calls - before.calls, calls.expected, calls.most))
    if budget.time is not None and seconds:
        told = f"budget.time={budget.time:g}, and {duration(seconds)} are expected"
        found.append(_told(told, budget.time, seconds, seconds))
    together = f" (all {len(plan.runs)} runs together)" if len(plan.runs) > 1 else ""
    return [f"  {one}{together}" for one in found if one]


def _told(limit: str, left: float, expected: float, most: float) -> str:
    if most <= left:
        return ""
    return f"{'stops' if expected > left else 'may stop'} on its way, and can go on later: {limit}"
