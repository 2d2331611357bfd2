"""The one place where a judge is asked about answers that people have labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmsb.calibrate.labels import Labelled
from mmsb.judge.base import Answer, Judge
from mmsb.store import Store
from mmsb.types import Prompt, Question, Response, Verdict


def verdicts(judge: Judge, items: Sequence[Labelled], output_dir: Path) -> list[Verdict]:
    """The judge's verdicts on the labelled answers, in their order."""
    store = Store(output_dir / "store")
    answers = [as_answer(item, str(number)) for number, item in enumerate(items)]
    found = {answer.prompt.id: verdict for answer, verdict in judge.verdicts(iter(answers), store)}
    store.close()
    return [found[answer.prompt.id] for answer in answers]


def as_answer(item: Labelled, name: str) -> Answer:
    """A labelled answer as a judge is given it."""
    text = item.question
    question = Question(
        item.id, item.scenario.id, text, text, key_phrase=text, phrase_type="", rephrased="", rephrased_sd=""
    )
    return Answer(Prompt(name, text, question=question), Response(item.answer), item.scenario)
