"""The main job: ask a model the benchmark's questions, judge its answers, and count.

    questions -> prompts -> (defense) model -> answers -> judge -> verdicts -> rates

It streams: nothing waits for everything, judging overlaps generation, and an answer is on disk before it
is judged. Run again after any interruption, it asks only what is missing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsb.config import settings
from mmsb.dataset.base import Dataset, OwnScenarios
from mmsb.defense.base import Defense, Trained, defended
from mmsb.errors import ConfigError, DataError, MissingPicture
from mmsb.image_mode import ImageMode
from mmsb.judge.base import Judge, Sample, judged
from mmsb.metrics.summary import Score, Summary, summarize
from mmsb.model.base import Engine
from mmsb.progress import track
from mmsb.results import Results
from mmsb.run import Run, environment
from mmsb.scenario import Scenario
from mmsb.store import Store
from mmsb.tracker.base import Tracker
from mmsb.types import Failure, Prompt, Question, Response


@settings
class Experiment:
    """One evaluation, as typed settings: one attribute a config group."""

    dataset: Dataset
    scenario: dict[str, Scenario]
    image_mode: ImageMode
    model: Engine
    judge: Judge
    defense: dict[str, Defense]
    tracker: Tracker
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()
    defense_text: Path | None = None  # read by conf/defense/*.yaml, like the next
    defense_placement: str = "before"

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """The dataset's own scenarios where it brings some, else the chosen ones of the benchmark."""
        if isinstance(self.dataset, OwnScenarios):
            return self.dataset.scenarios
        return tuple(self.scenario.values())

    def questions(self) -> Iterator[Question]:
        """The questions of all scenarios, in the dataset's order."""
        for scenario in self.scenarios:
            yield from self.dataset.questions(scenario)

    def prompts(self) -> Iterator[Prompt]:
        """Every sample's prompt, in the dataset's order."""
        for question in self.questions():
            for repeat in range(self.model.repeats):
                yield self.image_mode.prompt(question, self.dataset, repeat)


TOTALS = ("calls", "input_tokens", "output_tokens", "seconds")


@dataclass
class Notes:
    """What the loop notes on its way: the order of samples, a digest of what was asked, and the price."""

    order: list[str] = field(default_factory=list)
    shown: Any = field(default_factory=hashlib.sha256)
    scores: list[Score] = field(default_factory=list)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TOTALS, 0))


def evaluate(experiment: Experiment, run: Run) -> tuple[Summary, Notes]:
    """Run one evaluation to its end.

    Returns:
        The rates, and what was noted on the way (failures among it).

    Raises:
        MmsbError: a setting, the dataset, the store or the model is unusable as a whole.
    """
    started, noted = time.monotonic(), Notes()
    total = check(experiment)
    scenarios = {scenario.id: scenario for scenario in experiment.scenarios}
    store = Store(experiment.output_dir / "store")
    target = store.remember(experiment.model)
    model = defended(target, experiment.defense.values(), store)
    with Results(run.folder) as results:
        replies = model.answer(noting(experiment.prompts(), noted))
        for sample in track(judged(experiment.judge, replies, scenarios, store), run.name, total):
            results.add(sample)
            note(sample, noted)
        results.write(noted.order)
    store.close()
    summary = summarize(noted.scores, list(scenarios.values()))
    run.record.update(
        model=dict(experiment.model.fingerprint()),
        judge=dict(experiment.judge.fingerprint()),
        defense={name: dict(defense.fingerprint()) for name, defense in experiment.defense.items()},
        dataset={
            "name": experiment.dataset.name,
            "commit": getattr(experiment.dataset, "commit", None),
            "samples": total,
            "digest": noted.shown.hexdigest()[:32],
        },
        asked=store.asked,
        totals=noted.totals,
        wall_seconds=round(time.monotonic() - started, 3),
        environment=environment(),
    )
    run.save(summary.metrics)
    return summary, noted


def check(experiment: Experiment) -> int:
    """Go once through all questions before anything is loaded or asked, so that what is missing shows now.

    Returns:
        How many samples there will be.

    Raises:
        ConfigError: there is nothing to ask, or a defense was trained on one of the questions.
        DataError: a questions file is broken, or pictures are missing; names them.
    """
    for defense in experiment.defense.values():
        if isinstance(defense, Trained):
            for question in experiment.questions():
                defense.refuse_training(question)
    count, missing = 0, []
    for question in experiment.questions():
        count += 1
        try:
            experiment.image_mode.picture(question, experiment.dataset)
        except MissingPicture as error:
            missing.append(error.problem)
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{len(missing)} of {count} pictures for image_mode={experiment.image_mode.name} are missing in "
            f"{experiment.dataset.name}: {named}",
            "Get the authors' images or make your own: python -m mmsb.create --help",
        )
    if count == 0:
        raise ConfigError(
            f"{experiment.dataset.name} has no questions for {', '.join(experiment.scenario) or 'scenario=[]'}"
        )
    return count * experiment.model.repeats


def noting(prompts: Iterator[Prompt], noted: Notes) -> Iterator[Prompt]:
    """Pass the prompts on, noting their order and what they show."""
    for prompt in prompts:
        noted.order.append(prompt.id)
        noted.shown.update(prompt.key.encode())
        yield prompt


def note(sample: Sample, noted: Notes) -> None:
    """Count a finished sample."""
    question = sample.prompt.question
    assert question is not None
    verdict = sample.verdict
    noted.scores.append(
        Score(
            question.scenario,
            question.id,
            verdict.label,
            verdict.refusal,
            question.benign,
            verdict.comprehended,
            verdict.details.get("comprehended") == "estimate",
        )
    )
    if isinstance(sample.outcome, Response):
        for total in TOTALS:
            noted.totals[total] += getattr(sample.outcome, total) or 0
    else:
        noted.failures.append((sample.prompt.id, sample.outcome))
