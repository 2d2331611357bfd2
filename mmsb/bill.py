"""What a command was going to take, and what it took: the plan and the bill, side by side.

The plan is made before the first run starts, and travels to all processes of a sweep through the environment. The bill
is what was asked since then: every run keeps its own in its folder, so that one that was killed has a bill too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from mmsb.budget import BEGAN
from mmsb.console import say
from mmsb.digest import write_atomically
from mmsb.errors import DataError
from mmsb.prices import Prices, duration, money
from mmsb.schemas import BROKEN, Count
from mmsb.types import Outcome, Response

PLAN, PLAN_FILE = "MMSB_PLAN", "plan.json"  # in the environment, for the processes of a sweep
FILE = "bill.json"
EVERY = 2.0  # seconds between two times that a bill is written down
Sum = Annotated[float, msgspec.Meta(ge=0)]


@dataclass(frozen=True)
class Range:
    """How many calls; `guessed`: nothing tells how many of the most there will be, and each number is as good."""

    expected: Count
    least: Count
    most: Count
    guessed: bool = False

    def told(self) -> str:
        """For people: "12", "at most 12", "12 to 24", "about 15 (12 to 24)"."""
        if self.least >= self.most:
            return f"{self.expected:,}"
        if self.expected >= self.most or (self.guessed and not self.least):
            return f"at most {self.most:,}"
        ends = f"{self.least:,} to {self.most:,}"
        if self.guessed:
            return ends
        return f"about {self.expected:,} ({ends if 0 < self.least < self.expected else f'at most {self.most:,}'})"


@dataclass(frozen=True)
class Expected:
    """A plan in short.

    Attributes:
        calls: of models.
        input: tokens, likewise `output`.
        dollars: None where the price of a model that is asked is not known.
        seconds: None where nobody knows.
    """

    calls: Range
    input: Count
    output: Count
    dollars: Sum | None
    seconds: Sum | None

    def announce(self) -> None:
        """Have the end of this command, and all its processes, know it."""
        # The environment reaches the processes of every launcher, which share no memory with this one.
        os.environ[PLAN] = json.dumps(asdict(self))


_planned: Callable[[bytes], Expected] = msgspec.json.Decoder(Expected).decode


def expected() -> Expected | None:
    """What was announced; None where nothing was planned."""
    return _plan(os.fsencode(os.environ.get(PLAN, "")))


def keep_plan(folder: Path) -> None:
    """Leave what was announced in a folder, for who looks at it later."""
    if plan := expected():
        with suppress(OSError):
            write_atomically(folder / PLAN_FILE, json.dumps(asdict(plan)) + "\n")


def kept_plan(folder: Path) -> Expected | None:
    """What was left there; None where no plan was: by the Python API, or by an older version."""
    try:
        return _plan((folder / PLAN_FILE).read_bytes())
    except OSError:
        return None


def _plan(content: bytes) -> Expected | None:
    # Passed over, and no error as with a bill: what was spent is told all the same, and stands beside no plan.
    try:
        return _planned(content)
    except BROKEN:
        return None


@dataclass
class Spent:
    """What a model was asked, and what that took. `uncounted` replies did not say how many tokens."""

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    dollars: float | None = None
    uncounted: int = 0

    def count(self, outcome: Outcome) -> None:
        """Count a call that was made, by what came of it."""
        if not isinstance(outcome, Response):
            self.failed += 1
            return
        self.calls += outcome.calls  # two where a late request got a second one beside it
        self.input_tokens += outcome.input_tokens or 0
        self.output_tokens += outcome.output_tokens or 0
        self.seconds += outcome.seconds
        self.uncounted += outcome.input_tokens is None or outcome.output_tokens is None

    def price(self, model: str, prices: Prices | None) -> None:
        """Say in dollars what it took, where that is known."""
        # One reply that nobody counted makes the sum too low, and a bill that is too low is worse than none.
        tokens = (None, None) if self.uncounted else (self.input_tokens, self.output_tokens)
        spent = prices.dollars(model, *tokens) if prices else None
        self.dollars = sum(spent) if spent else None


@dataclass(frozen=True)
class _Kept:
    """A bill as it lies on disk; `began`: when its command did, as all processes of that know it."""

    began: str | None
    lines: dict[str, Spent]

    @classmethod
    def read(cls, path: Path) -> _Kept | None:
        """The bill in a file; None where nothing was asked.

        Raises:
            DataError: it is none.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            with suppress(msgspec.ValidationError):
                return msgspec.json.decode(content, type=cls)
            # A finished run's from before bills said when their command began: it is over, and counted on by nobody.
            return cls(None, msgspec.json.decode(content, type=dict[str, Spent]))
        except BROKEN as error:
            remedy = "Remove it: then nothing is known of what the run cost."
            raise DataError(f"{path} is no bill ({error})", remedy) from error


@dataclass
class Bill:
    """Sums up what a command asks for a run, and keeps it on disk.

    Attributes:
        path: of the file. What the same command wrote there is counted on: a run that was requeued, or begun again on
            another node, paid for what it asked before.
        prices: what tokens cost.
        free: models that nobody charges for: those that run here.
    """

    path: Path
    prices: Prices | None
    free: Set[str] = frozenset()
    lines: dict[str, Spent] = field(default_factory=dict)
    _kept: float = -EVERY
    _later: threading.Timer | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Take up what an earlier process of this command asked."""
        # By when the command began, which all its processes know: the next command in this folder has its own bill.
        found = _Kept.read(self.path)
        if found and found.began and found.began == os.environ.get(BEGAN):
            self.lines = found.lines

    def add(self, model: str, outcome: Outcome) -> None:
        """Count a call that was made: not one that the store answered."""
        with self._lock:
            # By name, not by settings: prices go by it, and so does what a provider writes on its own bill.
            self.lines.setdefault(model, Spent()).count(outcome)
            # Not with each call: fast endpoints answer hundreds a second. Nor when the next one comes: where a server
            # hangs there is none for minutes, and a kill meanwhile would leave a bill without what came before.
            if self._later is None:
                self._later = threading.Timer(max(0.0, self._kept + EVERY - time.monotonic()), self._due)
                self._later.daemon = True
                self._later.start()

    def _due(self) -> None:
        with self._lock:
            # Kept meanwhile, perhaps for the last time: the next process, or bill, may be writing there by now.
            if self._later:
                self.keep()

    @property
    def dollars(self) -> float:
        """Of the models whose price is known, so far."""
        with self._lock:
            self._price()
            return sum(line.dollars or 0.0 for line in self.lines.values())

    def _price(self) -> None:
        for model, line in self.lines.items():
            if model in self.free:
                line.dollars = 0.0
            else:
                line.price(model, self.prices)

    def keep(self) -> None:
        """Write it down; a disk that is full is said by who writes the answers."""
        with self._lock:
            if self._later:
                self._later.cancel()
            self._later, self._kept = None, time.monotonic()
            if not self.lines:
                return
            self._price()
            with suppress(OSError):
                write_atomically(self.path, json.dumps(asdict(_Kept(os.environ.get(BEGAN), self.lines))))


@contextmanager
def bill_of(folder: Path, prices: Prices | None, free: Set[str] = frozenset()) -> Iterator[Bill]:
    """The bill of a run, kept in its folder however the run ends."""
    bill = Bill(folder / FILE, prices, free)
    try:
        yield bill
    finally:
        bill.keep()


def paid(folders: Sequence[Path]) -> Spent | None:
    """What runs took together; None where nothing was asked. Money is None where any of it is not known."""
    total, dollars = Spent(), []
    for folder in folders:
        found = _Kept.read(folder / FILE)
        for line in found.lines.values() if found else ():
            dollars.append(line.dollars)
            total.calls += line.calls
            total.failed += line.failed
            total.input_tokens += line.input_tokens
            total.output_tokens += line.output_tokens
            total.uncounted += line.uncounted
    if not dollars:
        return None
    # Likewise over models: a part of the money would look like all of it.
    total.dollars = None if None in dollars else sum(filter(None, dollars))
    return total


def told(spent: Spent, plan: Expected | None, seconds: float | None = None) -> str:
    """The bill beside the plan, in one line: "bill: 96 calls (planned 96), ..."."""
    calls = _beside(plan.calls.told() if plan else None)
    parts = [
        f"{spent.calls:,} {'call' if spent.calls == 1 else 'calls'}{calls}",
        f"{spent.input_tokens:,} tokens in{_beside(f'{plan.input:,.0f}' if plan else None)}",
        f"{spent.output_tokens:,} out{_beside(f'{plan.output:,.0f}' if plan else None)}",
    ]
    planned = plan.dollars if plan else None
    if spent.dollars is None:
        parts.append("money unknown")  # a bill that says nothing looks like one of nothing
    elif spent.dollars or planned:
        parts.append(f"{money(spent.dollars)}{_beside(None if planned is None else money(planned))}")
    if seconds is not None:
        planned = plan.seconds if plan else None
        parts.append(f"{duration(seconds)}{_beside(None if planned is None else duration(planned))}")
    parts += [f"{spent.failed:,} failed, which may have cost something"] if spent.failed else []
    replies = "reply without its" if spent.uncounted == 1 else "replies without their"
    parts += [f"{spent.uncounted:,} {replies} tokens"] if spent.uncounted else []
    return f"bill: {', '.join(parts)}"


def show_bill(folders: Sequence[Path], seconds: float | None = None) -> None:
    """Print the bill of runs, where anything was asked."""
    if spent := paid(folders):
        say(told(spent, expected(), seconds))


def _beside(planned: str | None) -> str:
    return f" (planned {planned})" if planned is not None else ""
