"""The one place where a judge is asked about answers that people have labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmsb.driver import Driver
from mmsb.judge.base import Answer, Judge, of_all_parts
from mmsb.labels.file import Labelled
from mmsb.model.base import engines_in
from mmsb.store import Store
from mmsb.types import KEY_PHRASE, PLAIN, Prompt, Question, Response, Verdict


def verdicts(judge: Judge, items: Sequence[Labelled], output_dir: Path) -> list[Verdict]:
    """The judge's verdicts on the labelled answers, in their order."""
    # the runs' own store: a judge's model that read these answers before is not asked again
    store = Store(output_dir / "store")

    async def verdict(numbered: tuple[int, Labelled]) -> tuple[int, Verdict]:
        number, item = numbered
        # Numbered, since flows end in whatever order their replies come.
        return number, await of_all_parts(judge, as_answer(item), driver.call)

    with Driver(store, engines_in(judge)) as driver:
        found = dict(driver.run(enumerate(items), verdict))
    store.close()
    return [found[number] for number in range(len(items))]


def as_answer(item: Labelled) -> Answer:
    """A labelled answer as a judge is given it."""
    # The whole question as the key phrase too: labels have none, and judges that look for it must not read "".
    texts, metadata = {PLAIN: item.question}, {KEY_PHRASE: item.question}
    question = Question(item.id, item.scenario.id, texts, metadata)
    return Answer(Prompt(item.question), Response(item.answer), item.scenario, question)
