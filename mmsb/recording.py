"""What every run writes down while its samples are answered and judged: rows, calls, the bill, and what is noted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mmsb import outside
from mmsb.bill import Bill, bill_of
from mmsb.budget import Budget
from mmsb.calls import Calls
from mmsb.driver import Driver
from mmsb.errors import ModelError
from mmsb.flow import Call, Flow
from mmsb.judge.base import Judge, judged
from mmsb.model.base import engines_in
from mmsb.notes import Notes, note
from mmsb.prices import Prices
from mmsb.progress import track
from mmsb.results import Results
from mmsb.run import Run, short_name
from mmsb.spending import known_by, prices_as_asked, purse_file, purse_of, unpaid
from mmsb.store import Store
from mmsb.tracker.base import Told, Tracker
from mmsb.types import Outcome, Result, Sample

JUDGE_LATER = (
    "What the model answered is stored and is not asked again: with that mended, or with another judge=..., the same "
    "command goes on from here."
)


@dataclass
class Recording:
    """A run while it goes on.

    Attributes:
        run: which one.
        total: how many samples it has.
        prices: what tokens cost, those of batch interfaces among them.
        driver: makes every call of the run.
        results: the rows of finished samples.
        noted: counts of them, with their failures.
    """

    run: Run
    total: int
    prices: Prices | None
    driver: Driver
    results: Results
    calls: Calls
    bill: Bill
    told: Told
    noted: Notes = field(default_factory=Notes)

    async def judged(self, judge: Judge, sample: Sample, outcome: Outcome) -> Result:
        """The verdict on a sample's outcome; the sample's calls are kept with it.

        Raises:
            ModelError: no answer could be judged.
        """
        flow = Flow.current()
        flow.stage = "judge"
        try:
            result = await judged(judge, sample, outcome, self.driver.call)
        except ModelError as error:
            # Of the model's own endpoint nothing is wrong, and what it answered may have cost much.
            raise ModelError(f"judge {judge.name}: {error.problem}", f"{error.remedy}\n{JUDGE_LATER}") from error
        self.take(sample.id, flow.calls)
        return result

    def take(self, name: str, calls: Sequence[Call]) -> None:
        """Count and keep the calls of a sample, or of a defense that prepares.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        self.noted.costs.add(calls)
        self.calls.add(name, calls)

    def show(self) -> None:
        """Have who looks on see what was kept so far: not with each sample, of which thousands a second may come.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        self.results.show()
        self.calls.show()

    def keep(self, finished: Iterable[Result]) -> str:
        """Write every result down as it comes, and show how far the run is.

        Returns:
            The digest of `results.jsonl`.

        Raises:
            StoreError: the disk is full or cannot be written.
        """
        name, noted = short_name(self.run.name), self.noted
        for result in track(finished, name, self.total, self.run.place, lambda: noted.so_far(self.bill)):
            self.results.add(result)
            self.told(result)
            note(result, noted)
        # In the dataset's order, though they came in any: the file's bytes must not depend on timing.
        digest = self.results.write()
        self.calls.keep()
        return digest


class Recorded(Protocol):
    """Settings of a command whose runs are recorded."""

    @property
    def tracker(self) -> Tracker:
        """It is told each finished sample."""
        ...

    @property
    def prices(self) -> Prices | None:
        """What tokens cost."""
        ...

    @property
    def budget(self) -> Budget:
        """What the command may spend."""
        ...

    @property
    def output_dir(self) -> Path:
        """Where the store and the purse lie."""
        ...


@contextmanager
def recording(settings: Recorded, run: Run, total: int) -> Iterator[Recording]:
    """Open all that a run writes to, and close it however the run ends.

    Args:
        settings: of the command; they hold every engine that will be asked.
        run: the run that begins.
        total: how many samples it has.
    """
    store, free = Store(settings.output_dir / "store"), unpaid(settings)
    prices = prices_as_asked(settings.prices, settings)
    spent = purse_file(settings.output_dir, known_by(run))
    outside.note(settings.output_dir, run.sweep or run.folder)
    with (
        purse_of(settings.budget, prices, free, spent) as purse,
        bill_of(run.folder, prices, free) as bill,
        Driver(store, engines_in(settings), purse, bill.add) as driver,
        Results(run.folder) as results,
        Calls(run.folder) as calls,
        settings.tracker.follow(run, total) as told,
    ):
        yield Recording(run, total, prices, driver, results, calls, bill, told)
    store.close()
