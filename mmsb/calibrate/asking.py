"""The one place where a judge is asked about answers that people have labelled."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from mmsb.bill import bill_of, show_bill
from mmsb.budget import Budget
from mmsb.digest import digest
from mmsb.driver import Driver
from mmsb.judge.base import Answer, Judge, of_all_parts
from mmsb.labels.file import Labelled
from mmsb.model.base import engines_in
from mmsb.prices import Prices
from mmsb.spending import prices_as_asked, purse_file, purse_of, unpaid
from mmsb.store import Store
from mmsb.types import KEY_PHRASE, PLAIN, Prompt, Question, Response, Verdict


class Paying(Protocol):
    """Settings of who asks, as far as it costs anything."""

    @property
    def output_dir(self) -> Path:
        """Where the store and the purse lie."""
        ...

    @property
    def prices(self) -> Prices | None:
        """What tokens cost."""
        ...

    @property
    def budget(self) -> Budget:
        """What the command may spend."""
        ...


def verdicts(judge: Judge, items: Sequence[Labelled], settings: Paying) -> list[Verdict]:
    """The judge's verdicts on the labelled answers, in their order; what they took is said at the end.

    Raises:
        BudgetReached: the budget is spent; what was answered by then is stored.
    """
    # the runs' own store: a judge's model that read these answers before is not asked again
    store, free, began = Store(settings.output_dir / "store"), unpaid(judge), time.monotonic()
    prices = prices_as_asked(settings.prices, judge)

    async def verdict(numbered: tuple[int, Labelled]) -> tuple[int, Verdict]:
        number, item = numbered
        # Numbered, since flows end in whatever order their replies come.
        return number, await of_all_parts(judge, as_answer(item), driver.call)

    with TemporaryDirectory(prefix="mmsb-bill-") as folder:  # it has no folder of its own, as a run has
        try:
            with (
                purse_of(settings.budget, prices, free, purse(judge, items, settings.output_dir)) as pays,
                bill_of(Path(folder), prices, free) as bill,
                Driver(store, engines_in(judge), pays, bill.add) as driver,
            ):
                found = dict(driver.run(enumerate(items), verdict))
        finally:
            show_bill([Path(folder)], time.monotonic() - began)
    store.close()
    return [found[number] for number in range(len(items))]


def purse(judge: Judge, items: Sequence[Labelled], output_dir: Path) -> Path:
    """Where stands what was spent on this judge's verdicts on these answers."""
    asked = [[item.id, item.question, item.answer] for item in items]
    return purse_file(output_dir, digest([json.loads(json.dumps(dict(judge.fingerprint()))), asked]))


def as_answer(item: Labelled) -> Answer:
    """A labelled answer as a judge is given it."""
    # The whole question as the key phrase too: labels have none, and judges that look for it must not read "".
    texts, metadata = {PLAIN: item.question}, {KEY_PHRASE: item.question}
    question = Question(item.id, item.scenario.id, texts, metadata)
    return Answer(Prompt(item.question), Response(item.answer), item.scenario, question)
