"""Recording what is finished: a run, or all runs of a sweep and their comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mmsb.cli import say
from mmsb.config import TARGET_PACKAGES, settings
from mmsb.errors import DataError, MmsbError
from mmsb.judge.finished import FinishedRun
from mmsb.report.finished import finished_run
from mmsb.report.shared import page_of
from mmsb.run import FILE, SavedRun
from mmsb.tracker.base import Sweep, Tracker
from mmsb.types import Sample


@settings
class Recording:
    """Settings of recording finished runs.

    Attributes:
        tracker: where they are recorded.
        run: the folder of a run or of a sweep.
    """

    tracker: Tracker
    run: Path
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def log(self) -> None:
        """Record, and say where.

        Raises:
            DataError: there is no finished run.
            TrackingError: it cannot be recorded now.
        """
        folder = self.run.absolute()
        sweep = Sweep.at(folder)
        line = self.tracker.log(SavedRun.open(folder), self.samples(folder)) if sweep is None else self.sweep(sweep)
        say(line or f"recorded: {folder}")

    def sweep(self, sweep: Sweep) -> str | None:
        """Record a sweep's finished runs, then the sweep."""
        numbered = [path for path in sweep.folder.iterdir() if path.name.isdigit() and path.is_dir()]
        folders = sorted(numbered, key=lambda path: int(path.name))
        runs = [finished_run(path) for path in folders if (path / FILE).is_file()]
        if not runs:
            raise DataError(
                f"{sweep.folder} has no finished run", "Run its command again: it goes on where it stopped."
            )
        # As a sweep that goes on would: so that its runs find their parent, and no second one is made.
        self.tracker.open_sweep(sweep)
        for run in runs:
            self.tracker.log(run, self.samples(run.folder))
            say(f"recorded: {run.name}")
        line = self.tracker.close_sweep(sweep, runs, len(runs) == len(folders), page_of(runs, sweep.folder))
        sweep.made_up_for()
        return line

    def samples(self, folder: Path) -> Iterator[Sample]:
        """The run's samples, with the dataset's pictures where they are still there."""
        finished = FinishedRun(folder, (*TARGET_PACKAGES, *self.trusted_packages))
        gone = False
        for row in finished.saved.rows():
            sample = finished.sample(row)
            question, picture = None, None
            try:
                question = finished.records[sample.question.scenario].get(row["question_id"])
                picture = finished.image_mode.picture(question, finished.dataset) if question else None
            except MmsbError as error:  # results outlive their dataset: the traces are worth having without
                if not gone:
                    say(f"The pictures are not there any more, so the traces show none ({error.problem}).")
                gone = True
            yield replace(sample, prompt=replace(sample.prompt, image=picture))
