"""The steps of the job `create`, in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mmsb.bill import bill_of, show_bill
from mmsb.cli import say
from mmsb.create.asking import Asker
from mmsb.create.job import Create
from mmsb.create.own import write_option
from mmsb.create.twins import BENIGN
from mmsb.errors import ConfigError, DataError, MmsbError
from mmsb.model.endpoints import FOLDER, Endpoints
from mmsb.scenario import Scenario
from mmsb.spending import prices_as_asked, unpaid
from mmsb.store import Store

TWINNED = ("phrases", "review", "pictures", "typed", "card", "validate")  # done for the harmless twins too
SHOWN = 10  # failures named on the terminal


def create(job: Create) -> None:
    """Do the job's steps, one after the other.

    Raises:
        MmsbError: a step cannot be done, or left something undone.
    """
    if job.dry_run:
        from mmsb.create.price import show_price

        show_price(job)
        return
    # Two commands in one folder would each remove what the other is about to read.
    with job.folder.lock():
        for step in job.steps:
            say(f"{step}: {STEPS[step](job)}")
            # After each step, not after all: a `validate` that finds errors ends the command.
            if step in TWINNED and job.has_twins:
                say(f"{step} of the harmless twins: {STEPS[step](job.twins)}")


def step_propose(job: Create) -> str:
    """Have questions proposed for review."""
    from mmsb.create.propose import Draft, propose

    drafts = [
        Draft(scenario, policy_of(job, scenario), known_questions(job, scenario), job.propose)
        for scenario in job.scenarios
    ]
    with language_model(job) as model:
        failed = propose(job.folder, drafts, model)
    if failed:
        draft, failure = failed[0]
        raise DataError(
            f"{len(failed)} scenarios have too few, e.g. {draft.scenario.id}: {failure.message}", "Run again."
        )
    count = sum(len(draft.found) for draft in drafts)
    return f"{count:,} questions in {job.root / 'proposed'}: review them, then bring them with steps=[questions]"


def step_fetch(job: Create) -> str:
    """Bring the authors' data."""
    from mmsb.create.fetch import copy_dataset, missing, unpack

    if job.archive:
        count = unpack(job.folder, job.archive, {scenario.id for scenario in job.scenarios}).total()
        source = job.archive.name
    elif job.dataset:
        count, source = copy_dataset(job.folder, job.dataset, job.scenarios), str(job.source)
    else:
        raise ConfigError(
            "the step fetch has no source", "Add archive=IMAGES.zip, or dataset=mm_safetybench_hf for the hub's mirror."
        )
    return f"{count:,} pictures from {source}; {missing(job.folder, job.scenarios)}"


def step_questions(job: Create) -> str:
    """Bring questions or records."""
    from mmsb.create.questions import bring_own, bring_questions
    from mmsb.create.records import ENDINGS, bring_records

    if job.questions and job.questions.suffix in ENDINGS:
        if job.own_scenario:
            # Without the option the main job would not know the scenario that these records are of.
            write_option(job.own_scenario, job.root)
        return bring_records(job.folder, job.questions, job.scenarios, job.instructions)
    if job.own_scenario:
        assert job.own is not None
        return bring_own(job.folder, job.own_scenario, job.own)
    if job.questions:
        return bring_questions(job.folder, job.questions, job.scenarios)
    known = set(job.folder.scenarios())
    if lacking := [scenario.id for scenario in job.scenarios if scenario.id not in known]:
        raise ConfigError(
            f"no questions for {', '.join(lacking)}",
            "Name the folder that has them, questions=FOLDER, or a scenario file of your own, own=FILE.yaml.",
        )
    return "those that are there"


def step_twins(job: Create) -> str:
    """Take or have made a harmless twin of each question."""
    from mmsb.create.twins import given_twins, make_twins, refuse_nothing

    if job.own_scenario and job.own_scenario.benign:
        return f"{given_twins(job.folder, job.own_scenario.scenario, job.own_scenario.benign):,} were given"
    with language_model(job) as model:
        # What it could do is written before the error is raised, and stays.
        count, lacking = make_twins(job.folder, job.scenarios, model, job.attempts)
    refuse_nothing(count, lacking)
    return f"{count:,} questions in {job.root / BENIGN}: review them"


def step_phrases(job: Create) -> str:
    """Find key phrases and reword the questions."""
    from mmsb.create.phrases import make_phrases, pending
    from mmsb.create.review import list_problems

    if not pending(job.folder, job.scenarios, job.instructions):
        # Nothing waits any more: a person may have written the records by hand.
        list_problems(job.folder, _ids(job), "no key phrase", {})
        return "every question has its record"
    with language_model(job) as model:
        done = make_phrases(job.folder, job.scenarios, model, job.instructions, job.attempts)
    list_problems(job.folder, _ids(job), "no key phrase", done.lacking)
    # Nothing at all was made: the steps that follow would work on an empty set and end well.
    if not done.made + done.kept:
        first = next(iter(done.lacking.items()))
        raise DataError(
            f"no key phrase was found for {len(done.items):,} questions: {done.told}; e.g. {first[0]}: {first[1]}",
            f"The replies are in {job.root / 'review'}. The same command asks again; another model=... may do better.",
        )
    text = f"{done.made:,} records made, {done.kept:,} were there"
    return f"{text}; {done.told}: look at {job.root / 'review'}" if done.told else text


def step_review(job: Create) -> str:
    """Apply what a person decided."""
    from mmsb.create.review import FILE, apply, open_problems

    applied = apply(job.folder, _ids(job))
    text = ", ".join(f"{count:,} {what}" for what, count in applied.items() if count) or "nothing to apply"
    waiting = open_problems(job.folder)
    return f"{text}; {len(waiting):,} wait for a decision in {job.root / FILE}" if waiting else text


def step_pictures(job: Create) -> str:
    """Draw what is missing; what cannot be drawn is listed, and the later steps go on without it."""
    from mmsb.create.pictures import draw_pictures, plan
    from mmsb.create.price import pictures_bill
    from mmsb.create.review import FILE, list_problems

    planned = plan(job.folder, job.scenarios, job.generator)
    # Said aloud: with a checker, pictures of harmful phrases would come out black, and without one nobody has looked.
    if getattr(job.generator, "safety_checker", None) == "drop":
        say("pictures: the pipeline's safety checker is left out (generator.safety_checker=keep leaves it in)")
    store = Store(job.output_dir / "store")
    # Beside the store: the language model of another step may be at the same endpoint, asked by another command.
    endpoints = Endpoints([], store.shelf, store.root / FOLDER)
    failed = draw_pictures(job.folder, planned, job.generator, endpoints)
    store.close()
    reasons = {item.name: f"{why.cause}: {why.message}" for item, why in failed}
    list_problems(job.folder, _ids(job), "no picture", {name: f"no picture: {why}" for name, why in reasons.items()})
    named = "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:SHOWN])
    drawn = len(planned.missing) - len(failed)
    if bill := pictures_bill(job, drawn, len(failed)):
        say(bill)
    # One picture that cannot be drawn waits for a decision; if none can, it is the generator.
    if failed and not drawn + planned.there + planned.given:
        raise DataError(
            f"none of {len(planned.missing):,} pictures could be drawn: {named}",
            f"The same command tries again; or decide on each in {job.root / FILE}.",
        )
    text = f"{drawn:,} drawn, {planned.there:,} were there, {planned.given:,} were given"
    return f"{text}; {len(failed):,} could not be drawn, decide in {job.root / FILE}: {named}" if failed else text


def step_typed(job: Create) -> str:
    """Write typed text and stacked images."""
    from mmsb.create.typed import write_typed

    written, lacking, cut = write_typed(job.folder, job.scenarios, job.font, job.workers)
    text = f"{written:,} files written"
    if cut:
        text += f"; {len(cut):,} phrases have a word that is cut off at the edge, e.g. {cut[0]}"
    if lacking:
        text += f"; {len(lacking):,} questions have no SD picture to stack upon, e.g. {lacking[0]}"
    return text


def step_card(job: Create) -> str:
    """Write manifest, card and contact sheets."""
    from mmsb.create.card import write_card

    sheets = write_card(job.folder, job.facts())
    return f"manifest.json, README.md and {len(sheets)} contact sheets in {job.root / 'sheets'}"


def step_validate(job: Create) -> str:
    """Check the whole folder."""
    from mmsb.create.report import show_report
    from mmsb.create.validate import validate

    report = validate(job.folder, job.workers, job.font)
    show_report(report)
    if not report.passed:
        raise DataError(f"{job.root} has errors", "Run the steps that mend them again; the lines above name the files.")
    return f"{job.root} is in order"


STEPS: dict[str, Callable[[Create], str]] = {
    "propose": step_propose,
    "fetch": step_fetch,
    "questions": step_questions,
    "twins": step_twins,
    "phrases": step_phrases,
    "review": step_review,
    "pictures": step_pictures,
    "typed": step_typed,
    "card": step_card,
    "validate": step_validate,
}


def _ids(job: Create) -> set[str]:
    return {scenario.id for scenario in job.scenarios}


@contextmanager
def language_model(job: Create) -> Iterator[Asker]:
    """The language model, with a memory. What it took is said at the end, however that comes.

    Raises:
        ConfigError: none was chosen.
    """
    if job.model is None:
        raise ConfigError(
            "no language model is chosen", "Add model=openai model.name=NAME, or any other option of the group model."
        )
    store, prices, began = Store(job.output_dir / "store"), prices_as_asked(job.prices, job.model), time.monotonic()
    with TemporaryDirectory(prefix="mmsb-bill-") as folder:  # it has no folder of its own, as a run has
        try:
            with bill_of(Path(folder), prices, unpaid(job.model)) as bill:
                yield Asker(job.model, store, bill.add)
        finally:
            store.close()
            show_bill([Path(folder)], time.monotonic() - began)


def policy_of(job: Create, scenario: Scenario) -> str:
    """What a scenario is about: the user's policy text, else the judging criterion turned around."""
    if job.own_scenario and job.own_scenario.policy:
        return job.own_scenario.policy
    return f"{scenario.title}. A reply breaks it when this holds: {scenario.criterion}"


def known_questions(job: Create, scenario: Scenario) -> list[str]:
    """The questions that a scenario has already."""
    try:
        # Records that cannot be read, or that are not there yet, are no reason not to propose.
        return [question.plain for question in job.folder.questions(scenario)] or job.folder.lines(scenario.id)
    except MmsbError:
        own = job.own_scenario
        return job.folder.lines(scenario.id) or list(own.questions if own else ())
