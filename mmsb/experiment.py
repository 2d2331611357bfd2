"""The main job: ask a model the benchmark's questions, judge its answers, and count.

    questions -> samples -> (defense) model -> answers -> judge -> verdicts -> rates

It streams: nothing waits for everything, judging overlaps generation, and an answer is on disk before it
is judged. Run again after any interruption, it asks only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path

from mmsb.bill import bill_of
from mmsb.budget import Budget
from mmsb.calls import Calls
from mmsb.comparable import comparable
from mmsb.config import settings
from mmsb.cost import Costs
from mmsb.dataset.base import Dataset, OwnScenarios
from mmsb.defense.base import Ask, Defense, Prepared, defended
from mmsb.defense.none import NoDefense
from mmsb.driver import Driver
from mmsb.errors import ConfigError, DataError, MissingGlyphs, MissingPicture
from mmsb.flow import Flow
from mmsb.font import spelled
from mmsb.image_mode import ImageMode
from mmsb.judge.base import GRADER, Judge, judged
from mmsb.metrics.summary import Summary, summarize
from mmsb.model.base import Batched, Engine, Live, engines_in
from mmsb.notes import Notes, note, noting
from mmsb.own import refuse_plain
from mmsb.picture import SEEN
from mmsb.prices import Prices, batched
from mmsb.progress import track
from mmsb.resolvers import AUTHORS
from mmsb.results import Results
from mmsb.run import Run, environment, short_name
from mmsb.scenario import Scenario
from mmsb.spending import purse_of, unpaid
from mmsb.store import Store
from mmsb.tracker.base import Tracker
from mmsb.types import Outcome, Question, Result, Sample
from mmsb.withholding import Withhold


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
        if not getattr(self.judge, "READS_ANSWERS", True):
            raise ConfigError(
                f"judge={self.judge.name} looks at pictures, not at answers",
                f"Put it in front of the model: defense=input_guard +judge@defense.input_guard.judge={self.judge.name}",
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
        """Every sample, in the dataset's order."""
        for question, repeat in self.asked():
            yield self.sample(question, repeat)

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
    started, noted = time.monotonic(), Notes()
    # Before the store is opened and anything is loaded: a picture that is missing at the end of 5,040 questions would
    # otherwise show after hours.
    total = check(experiment)
    prices = experiment.prices and experiment.prices.through_batches(batched(run.config))
    store = Store(experiment.output_dir / "store")
    with (
        purse_of(experiment.budget, experiment.prices, experiment.output_dir, run) as purse,
        bill_of(run.folder, prices, unpaid(experiment)) as bill,
        Driver(store, engines_in(experiment), purse, bill.add) as driver,
        Results(run.folder) as results,
        Calls(run.folder) as calls,
        experiment.tracker.follow(run, total) as told,
    ):
        defenses = prepared(experiment, driver, noted.costs)

        async def answer(sample: Sample) -> tuple[Sample, Outcome]:
            return sample, await defended(sample.prompt, experiment.model, defenses, driver.call)

        async def judge(answered: tuple[Sample, Outcome]) -> Result:
            flow = Flow.current()
            flow.stage = "judge"
            result = await judged(experiment.judge, *answered, driver.call)
            noted.costs.add(flow.calls)
            calls.add(result.sample.id, flow.calls)
            return result

        answers = driver.run(noting(experiment.samples(), noted, results), answer, judge, at_once=True)
        for result in track(answers, short_name(run.name), total, run.place, lambda: noted.so_far(bill)):
            results.add(result)
            told(result)
            note(result, noted)
        # In the dataset's order, though they came in any: the file's bytes must not depend on timing.
        digest = results.write()
        calls.keep()
    store.close()
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
        comparable=comparable(experiment, run.choices, noted.questions, len(noted.failures)).record,
        asked=driver.asked,
        totals=noted.totals,
        cost=noted.costs.record(prices),
        wall_seconds=round(time.monotonic() - started, 3),
        environment=environment(),
    )
    run.save(summary.metrics, digest)
    return summary, noted


def prepared(experiment: Experiment, driver: Driver, costs: Costs) -> list[Defense]:
    """The defenses, ready to answer, in their order; those that learn first ask the bare model now."""

    async def prepare(defense: Defense | Prepared) -> tuple[str, Defense]:
        if isinstance(defense, Prepared):
            folder = experiment.output_dir / "store" / "pools"
            flow = Flow.current()
            flow.stage = "prepare"
            ready = await defense.prepare(Ask(experiment.model, (), driver.call), folder)
            costs.add(flow.calls)
            return defense.name, ready
        return defense.name, defense

    # That none defends is no step of an answer's way, and would cost a task for each.
    chosen = [defense for defense in experiment.defense.values() if not isinstance(defense, NoDefense)]
    ready = dict(driver.run(chosen, prepare))
    return [ready[defense.name] for defense in chosen]


def check(experiment: Experiment) -> int:
    """Go once through all questions before anything is loaded or asked, so that what is missing shows now.

    Returns:
        How many samples there will be.

    Raises:
        ConfigError: there is nothing to ask, or a defense was trained on one of the questions.
        DataError: a questions file is broken, or pictures are missing or cannot be typed; names them.
    """
    trained = {
        # By phrase, since a user's copy of a question has another id.
        phrase.casefold(): defense.name
        for defense in experiment.defense.values()
        if isinstance(defense, Prepared)
        for phrase in defense.trained_on
    }
    count, missing, untyped = 0, list[str](), list[MissingGlyphs]()
    for question in experiment.questions():
        count += 1
        if name := trained.get(question.key_phrase.casefold()):
            raise ConfigError(
                f"{question.scenario}/{question.id} asks about {question.key_phrase!r}, a training question of "
                f"defense.{name}: what a defense was trained on cannot be evaluated",
                f"Replace it in defense.{name}.training, or leave it out of the dataset.",
            )
        check_test(question, experiment)
        try:
            experiment.image_mode.picture(question, experiment.dataset)
        except MissingPicture as error:
            missing.append(error.problem)
        except MissingGlyphs as error:
            untyped.append(error)
    if untyped:
        raise no_glyphs(untyped, count)
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


def no_glyphs(found: Sequence[MissingGlyphs], count: int) -> DataError:
    """All key phrases that cannot be typed, as one error: who adds a font wants to know every letter it must have."""
    letters = "".join(dict.fromkeys("".join(error.letters for error in found)))
    return DataError(
        f"{len(found)} of {count} key phrases cannot be typed, no glyph for {spelled(letters)}; {found[0].problem}",
        "Name fonts that have them: image_mode.font.fallback=[/path/NotoSansCJK-Regular.ttc], or another "
        "image_mode.font.path.",
    )


def check_test(question: Question, experiment: Experiment) -> None:
    """Refuse a test whose numbers would look right and mean nothing.

    Raises:
        ConfigError: a picture is asked about that is not shown, or nobody can grade the answers.
    """
    name = experiment.dataset.name
    if question.solution is None:
        if getattr(experiment.judge, "GRADES", False):
            raise ConfigError(f"judge={experiment.judge.name} grades tests, and {name} is none", "Use dataset=mm_vet.")
        return
    if question.solution.pictured and experiment.image_mode.image is None:
        raise ConfigError(
            f"{name} asks about pictures, and image_mode={experiment.image_mode.name} shows none", "Use image_mode=own."
        )
    if not question.solution.options and not getattr(experiment.judge, "GRADES", False):
        raise ConfigError(f"{name} takes free answers, which judge={experiment.judge.name} cannot grade", GRADER)
