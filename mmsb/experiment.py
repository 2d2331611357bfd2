"""The main job: ask a model the benchmark's questions, judge its answers, and count.

    questions -> samples -> (defense) model -> answers -> judge -> verdicts -> rates

It streams: nothing waits for everything, judging overlaps generation, and an answer is on disk before it
is judged. Run again after any interruption, it asks only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from itertools import islice
from pathlib import Path

from mmsb.budget import Budget
from mmsb.comparable import comparable
from mmsb.config import settings
from mmsb.dataset.base import Dataset, OwnScenarios
from mmsb.defense.base import Ask, Defense, Prepared, defended
from mmsb.defense.none import NoDefense
from mmsb.errors import ConfigError
from mmsb.flow import Flow
from mmsb.image_mode import ImageMode
from mmsb.judge.base import Judge, without
from mmsb.metrics.summary import Summary, summarize
from mmsb.model.base import Batched, Engine, Live
from mmsb.notes import Notes, noting
from mmsb.own import refuse_plain
from mmsb.picture import SEEN
from mmsb.prices import Prices
from mmsb.question_check import check_questions
from mmsb.recording import Recording, recording
from mmsb.resolvers import AUTHORS
from mmsb.run import Run, environment
from mmsb.scenario import Scenario
from mmsb.tracker.base import Tracker
from mmsb.types import Outcome, Question, Result, Sample
from mmsb.withholding import Withhold

AHEAD = 16  # samples: pictures that have no file of their own are in memory meanwhile


@settings
class Experiment:
    """One evaluation, as typed settings: one attribute a config group."""

    dataset: Dataset
    scenario: dict[str, Scenario]
    image_mode: ImageMode
    model: Engine
    judge: Judge
    defense: dict[str, Defense | Prepared]
    tracker: Tracker
    prices: Prices | None = None
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()
    protocol: str = AUTHORS  # which the model follows, by interpolation
    defense_text: Path | None = None  # read by conf/defense/*.yaml, like the next
    defense_placement: str = "own"
    budget: Budget = field(default_factory=Budget)
    dry_run: bool = False  # only check and plan, see `mmsb.preflight`
    withhold: Withhold = "nothing"  # from the page that a sweep ends with, and from the tracker

    def __post_init__(self) -> None:
        """Refuse a protocol that the model does not follow, a judge that reads no answers, and what is no flow.

        Raises:
            ConfigError: an endpoint, which decodes as its own settings say, or a protocol set for the model alone; a
                guard of pictures as the judge; a class that cannot answer, or flows that are none.
        """
        follows = getattr(self.model, "protocol", AUTHORS)
        if follows != self.protocol:
            raise ConfigError(
                f"protocol={self.protocol}: {self.model.name} follows {follows}",
                "Only local models have protocols (endpoints decode as model.temperature and so on say); set it as "
                "protocol=..., not under model.",
            )
        refuse_plain(self.judge, "judge", "verdict")
        for name, defense in self.defense.items():
            refuse_plain(defense, f"defense.{name}", "answer", "prepare")
        if not isinstance(self.model, Batched | Live):
            told = f"model={self.model.name}: {type(self.model).__name__} has neither batches and generate nor session"
            raise ConfigError(told, "One or the other answers prompts: see Batched and Live in mmsb/model/base.py.")
        if blind := without(self.judge, "READS_ANSWERS"):
            raise ConfigError(
                f"judge={blind} looks at pictures, not at answers",
                f"Put it in front of the model: defense=input_guard +judge@defense.input_guard.judge={blind}",
            )

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

    def asked(self) -> Iterator[tuple[Question, int]]:
        """The question and the repeat of every sample, in the dataset's order."""
        for question in self.questions():
            for repeat in range(self.model.repeats):
                yield question, repeat

    def samples(self) -> Iterator[Sample]:
        """Every sample, in the dataset's order; some are made ahead, and their pictures' digests looked up together."""
        asked = self.asked()
        while some := [self.sample(*one) for one in islice(asked, AHEAD)]:
            with SEEN.stretch():
                for sample in some:
                    _ = sample.prompt.key
            yield from some

    def sample(self, question: Question, repeat: int) -> Sample:
        """One sample."""
        name = f"{question.scenario}/{question.id}/{self.image_mode.name}" + (f"#{repeat}" if repeat else "")
        prompt = self.image_mode.prompt(question, self.dataset, repeat)
        return Sample(name, prompt, question, self._by_id[question.scenario])

    @cached_property
    def _by_id(self) -> dict[str, Scenario]:
        return {scenario.id: scenario for scenario in self.scenarios}


def evaluate(experiment: Experiment, run: Run) -> tuple[Summary, Notes]:
    """Run one evaluation to its end.

    Returns:
        The rates, and what was noted on the way (failures among it).

    Raises:
        MmsbError: a setting, the dataset, the store or the model is unusable as a whole.
    """
    started = time.monotonic()
    # Before the store is opened and anything is loaded: a picture that is missing at the end of 5,040 questions would
    # otherwise show after hours.
    total = check_questions(experiment)
    with recording(experiment, run, total) as recorded:
        driver, noted = recorded.driver, recorded.noted
        defenses = prepared(experiment, recorded)

        async def answer(sample: Sample) -> tuple[Sample, Outcome]:
            return sample, await defended(sample.prompt, experiment.model, defenses, driver.call)

        async def judge(answered: tuple[Sample, Outcome]) -> Result:
            return await recorded.judged(experiment.judge, *answered)

        samples = noting(experiment.samples(), noted, recorded.results)
        digest = recorded.keep(driver.run(samples, answer, judge, at_once=True, waits=recorded.show))
    SEEN.write()
    summary = summarize(noted.scores, experiment.scenarios)
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
        comparable=comparable(
            experiment, run.choices, noted.questions, len(noted.failures) + len(noted.unjudged)
        ).record,
        asked=driver.asked,
        totals=noted.totals,
        cost=noted.costs.record(recorded.prices),
        wall_seconds=round(time.monotonic() - started, 3),
        environment=environment(),
    )
    run.save(summary.metrics, digest)
    return summary, noted


def prepared(experiment: Experiment, recorded: Recording) -> list[Defense]:
    """The defenses, ready to answer, in their order; those that learn first ask the bare model now."""

    async def prepare(defense: Defense | Prepared) -> tuple[str, Defense]:
        if isinstance(defense, Prepared):
            folder = experiment.output_dir / "store" / "pools"
            flow = Flow.current()
            flow.stage = "prepare"
            ready = await defense.prepare(Ask(experiment.model, (), recorded.driver.call), folder)
            recorded.take(f"defense.{defense.name}", flow.calls)
            return defense.name, ready
        return defense.name, defense

    # That none defends is no step of an answer's way, and would cost a task for each.
    chosen = [defense for defense in experiment.defense.values() if not isinstance(defense, NoDefense)]
    ready = dict(recorded.driver.run(chosen, prepare))
    return [ready[defense.name] for defense in chosen]
