"""A budget: what a command may spend over all its tries. Reached, it stops cleanly; with a higher one it goes on.

What was spent stands in a file of its own (outputs/budget/), changed under a lock with every call, so that the runs of
a sweep in several processes keep one budget together, and a command that was killed knows what it spent before.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from pydantic import PositiveFloat, PositiveInt

from mmsb.config import settings
from mmsb.errors import ConfigError, DataError, MmsbError, ModelError
from mmsb.prices import Prices, money
from mmsb.schemas import BROKEN, Count
from mmsb.types import Outcome, Response

FOLDER = "budget"
BEGAN, COMMAND = "MMSB_BEGAN", "MMSB_COMMAND"  # in the environment, for the processes of a sweep
SWEEP = "MMSB_SWEEP_DIR"  # likewise: where the sweep lies that a run is of


class BudgetReached(MmsbError):
    """The budget is spent; what was asked by then is answered and stored."""


@settings
class Budget:
    """What a command may take.

    Attributes:
        money: US dollars, over all its tries; by the price table.
        calls: of models, over all its tries.
        time: seconds, of this try.
        confirm: US dollars; a plan that costs more, without a limit of money, is to be confirmed. None: none is.
    """

    money: PositiveFloat | None = None
    calls: PositiveInt | None = None
    time: PositiveFloat | None = None
    confirm: PositiveFloat | None = 20

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return any(limit is not None for limit in (self.money, self.calls, self.time))


class Spent(msgspec.Struct):
    """What was spent, as the file has it."""

    calls: Count = 0
    dollars: Annotated[float, msgspec.Meta(ge=0)] = 0.0


@dataclass
class Purse:
    """Keeps to a budget.

    Attributes:
        budget: its limits.
        path: the file of what was spent.
        prices: what tokens cost.
        free: models that nobody charges for.
    """

    budget: Budget
    path: Path
    prices: Prices | None
    free: Set[str] = frozenset()

    def __post_init__(self) -> None:
        """Open the file; nothing is spent yet, or what earlier tries spent."""
        # A file, not memory: the runs of a sweep in several processes, and the tries of one command, share it.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        self._threads = threading.Lock()  # the file's lock keeps processes apart, not threads
        # By the clock on the wall: runs of a sweep in several processes count from one beginning.
        self._began = float(os.environ.get(BEGAN, time.time()))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def begin(self, calls: int = 1) -> None:
        """Take calls that are about to be made from the budget. What comes back of them is paid later.

        Raises:
            BudgetReached: there is not enough left; nothing was taken.
        """
        # Taken before the call and not after: calls that are under way at the same time would all see room for one
        # more.
        limits = self.budget
        with self._locked() as spent:
            if limits.calls is not None and spent.calls + calls > limits.calls:
                raise self._reached("calls", f"{limits.calls}", spent, 2 * limits.calls)
            # What is under way is not known in advance, so money is overshot by that much and no more.
            if limits.money is not None and spent.dollars >= limits.money:
                raise self._reached("money", f"{limits.money:g}", spent, 2 * limits.money)
            if limits.time is not None and time.time() - self._began >= limits.time:
                raise self._reached("time", f"{limits.time:g}", spent, limits.time)
            spent.calls += calls

    def pay(self, model: str, outcome: Outcome) -> None:
        """Pay for a reply.

        Raises:
            ModelError: nobody knows what it costs, so that a limit of money could not be kept.
        """
        if not isinstance(outcome, Response) or model in self.free:
            return
        counted = outcome.input_tokens, outcome.output_tokens
        cost = self.prices.dollars(model, *counted) if self.prices else None
        if cost is None:
            if self.budget.money is None:
                return
            raise ModelError(
                f"{model} does not say how many tokens a call took: budget.money cannot be kept",
                "Set budget.calls instead.",
            )
        # Also where no money limits this try: the next one's limit is over all tries.
        with self._locked() as spent:
            spent.dollars += sum(cost)

    @contextmanager
    def _locked(self) -> Iterator[Spent]:
        """What was spent, to be changed; written back unless an error ends it."""
        self._threads.acquire()
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            spent = _said(os.pread(self._file, 200, 0), self.path)
            yield spent
            # of one length, so that one write replaces it whole
            os.pwrite(self._file, msgspec.json.encode(spent).ljust(100), 0)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._threads.release()

    def _reached(self, name: str, limit: str, spent: Spent, more: float) -> BudgetReached:
        told = f"{spent.calls:,} calls" + (f", {money(spent.dollars)}" if self.budget.money else "")
        whose = ", by all runs together" if SWEEP in os.environ else ""
        return BudgetReached(
            f"budget.{name}={limit} is reached ({told} so far{whose}): stopped, not finished",
            f"What was answered is stored. Go on: {command(name, f'{more:g}')}",
        )


def spent_in(path: Path) -> Spent:
    """What a file says was spent: nothing where there is none.

    Raises:
        DataError: it is none of ours.
    """
    return _said(path.read_bytes() if path.is_file() else b"", path)


def _said(content: bytes, path: Path) -> Spent:
    try:
        return msgspec.json.decode(content or b"{}", type=Spent)
    except BROKEN as error:  # what it does not tell is not nothing
        remedy = "Remove it: then the budget counts from here."
        raise DataError(f"{path} does not say what was spent ({error})", remedy) from error


def command(name: str, value: str) -> str:
    """The command that goes on: this one, with another limit."""
    # The command as it was typed, so that it can be copied back and goes on with the same answers.
    words = shlex.split(os.environ.get(COMMAND, "python -m mmsb"))
    given = [part for part in words if not part.startswith(f"budget.{name}=")]
    return shlex.join([*given, f"budget.{name}={value}"])


def announce(module: str) -> None:
    """Have all processes of this command know when it began, and what a spent budget is to say of it."""
    os.environ.setdefault(COMMAND, shlex.join(["python", "-m", module, *sys.argv[1:]]))
    os.environ.setdefault(BEGAN, str(time.time()))


def check_prices(budget: Budget, prices: Prices | None, models: Iterable[str]) -> None:
    """See that a limit of money can be kept.

    Raises:
        ConfigError: naming the models whose price is not known.
    """
    if budget.money is None:
        return
    # Before anything is asked: a price that is missing after a thousand calls comes too late.
    unknown = sorted({model for model in models if prices is None or prices.price(model) is None})
    if unknown:
        raise ConfigError(
            f"budget.money={budget.money:g}: no price is known for {', '.join(unknown)}",
            "Give it, in dollars for a million tokens: "
            f"'+prices.llm={{{unknown[0]}: {{input: 1, output: 2}}}}', or set budget.calls.",
        )
