"""Judge finished answers again, with another judge. The model that gave them is not asked and not needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mmsb.budget import Budget
from mmsb.cli import say
from mmsb.comparable import judged_again
from mmsb.config import TARGET_PACKAGES, settings
from mmsb.digest import digest_file
from mmsb.errors import ConfigError
from mmsb.judge.authors_files import AuthorsFiles, export
from mmsb.judge.base import Judge
from mmsb.judge.finished import Finished, FinishedRun
from mmsb.metrics.summary import Summary, summarize
from mmsb.notes import Notes
from mmsb.prices import Prices
from mmsb.recording import recording
from mmsb.results import FILE, Results, read_rows
from mmsb.run import Run, environment
from mmsb.tracker.base import Tracker
from mmsb.types import Outcome, Result, Sample


@settings
class Rejudge:
    """Settings of judging again.

    Attributes:
        judge: the judge.
        tracker: where the new run is recorded.
        run: the folder of a finished run; or else
        answers: a folder in the authors' format.
        answers_model: whose answers, where that holds several models'.
        export: a folder to write the judged answers to, in the authors' format; None for none.
        export_model: the model's name there; None for its own.
        prices: what tokens cost, for the plan, the bill and a budget of money.
        budget: what the command may spend.
        dry_run: only say what it would take.
    """

    judge: Judge
    tracker: Tracker
    run: Path | None = None
    answers: Path | None = None
    answers_model: str | None = None
    export: Path | None = None
    export_model: str | None = None
    prices: Prices | None = None
    budget: Budget = Budget()
    dry_run: bool = False
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    @cached_property
    def finished(self) -> Finished:
        """The answers.

        Raises:
            ConfigError: neither or both of `run` and `answers`.
        """
        # Both at once is refused, as either could be the one that was meant.
        if self.run is not None and self.answers is None:
            return FinishedRun(self.run, (*TARGET_PACKAGES, *self.trusted_packages))
        if self.answers is not None and self.run is None:
            return AuthorsFiles(self.answers, self.answers_model)
        raise ConfigError("give either run= or answers=", "Add run=outputs/runs/... or answers=FOLDER to the command.")

    @property
    def source(self) -> dict[str, object]:
        """Where the answers came from, for the record of the new run."""
        if self.run is not None:
            return {"run": str(self.run), "results": digest_file(self.run / FILE)}
        return {"answers": str(self.answers), "model": self.finished.name}

    def of(self, run: Run) -> Run:
        """The new run: what the old one says of itself, with the new judge."""
        about = self.finished.about
        # What the old run chose stays on record: its answers were made under that.
        return replace(run, choices={**about["choices"], **run.choices}, config={**about["config"], **run.config})

    def samples(self) -> Iterator[Sample]:
        """The samples, in the order of the answers."""
        return (sample for sample, _ in self.finished.answers())

    def export_run(self, run: Run) -> None:
        """Write the authors' files, if wanted."""
        if self.export is None:
            return
        model = self.export_model or self.finished.name
        without = export(read_rows(run.folder / FILE), self.finished, self.export, model)
        print(f"authors' format: {self.export}" + (f" ({without} samples have no verdict there)" if without else ""))


def rejudge(settings: Rejudge, run: Run) -> tuple[Summary, Notes]:
    """Judge all answers.

    Raises:
        MmsbError: the answers cannot be read, or the judge cannot be used.
    """
    started, finished = time.monotonic(), settings.finished
    about, scenarios = finished.about["record"], finished.scenarios
    with recording(settings, run, about["dataset"]["samples"]) as recorded:
        driver, noted = recorded.driver, recorded.noted

        async def judge(answered: tuple[Sample, Outcome]) -> Result:
            return await recorded.judged(settings.judge, *answered)

        answers = _noted(finished.answers(), noted, recorded.results)
        digest = recorded.keep(driver.run(answers, judge, at_once=True, waits=recorded.show))
    summary = summarize(noted.scores, list(scenarios.values()))
    run.record.update(
        # Tokens and seconds of the answers are the old run's; the judge's own are counted apart.
        {key: about[key] for key in ("model", "defense", "dataset", "totals")},
        judge=dict(settings.judge.fingerprint()),
        comparable=judged_again(about.get("comparable"), settings.judge).record,
        rejudged=settings.source,
        asked=driver.asked,
        wall_seconds=round(time.monotonic() - started, 3),
        environment=environment(),
    )
    run.save(summary.metrics, digest)
    say(f"The model was asked nothing. The judge's model was asked {driver.asked} times.")
    # Said aloud: a rate over fewer answers than its neighbour's does not show that by itself.
    if noted.failures:
        say(f"samples without an answer, in no rate: {len(noted.failures)}")
    return summary, noted


def _noted(
    answers: Iterator[tuple[Sample, Outcome]], noted: Notes, results: Results
) -> Iterator[tuple[Sample, Outcome]]:
    """Pass the answers on, noting the order of their samples."""
    for sample, outcome in answers:
        results.expect(sample.id)
        noted.count += 1
        yield sample, outcome
