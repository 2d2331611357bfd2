"""MLflow: every run with its settings, rates and traces; a sweep as a parent with its runs as children.

The results are on disk before anything is logged, so that nothing here can lose them. A record is found again by the
identity of its run: the same command run again brings it up to date.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveFloat, PositiveInt

from mmsb.config import settings
from mmsb.console import say
from mmsb.cost import NO_COST
from mmsb.digest import digest
from mmsb.errors import TrackingError
from mmsb.progress import track
from mmsb.run import FILE as RUN_FILE
from mmsb.run import Run, SavedRun, short_name
from mmsb.terminal import cost
from mmsb.tracker import format as form
from mmsb.tracker import traces
from mmsb.tracker.alive import alive, hold, holding, release
from mmsb.tracker.base import MakePage, Sweep, Told, made
from mmsb.tracker.files import share_questions, shared_results
from mmsb.tracker.live import following
from mmsb.tracker.mlflow_store import StorePlace, experiment_id, reason_of, without_user
from mmsb.tracker.page import look, pair_page, save_pair, save_view
from mmsb.tracker.records import ASKED, FOLDER, IDENTITY, PARENT, TRACED, TRACES, Records, asked_for, run_identity
from mmsb.tracker.tags import colour_of, tags_of
from mmsb.types import Sample
from mmsb.withholding import Withhold, strictest

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "mmsb"


@settings
class MLflow:
    """Records runs in MLflow.

    Attributes:
        output_dir: where the store lies if no server is named.
        uri: a tracking server or another MLflow URI; None: MLFLOW_TRACKING_URI, or SQLite in `output_dir`.
        experiment: the MLflow experiment.
        traces: which samples become traces: all, those judged unsafe, that many spread over the run, or none.
        pictures: how traces show pictures.
        withhold: "answers" or "all": what the records are to hold no trace of.
        live_after: seconds after which a run that is still going on shows in MLflow; None: only once it is finished.
    """

    output_dir: Path
    uri: str | None = None
    experiment: str = EXPERIMENT
    traces: Literal["all", "unsafe", "none"] | PositiveInt = "all"
    pictures: Literal["thumbnails", "originals"] = "thumbnails"
    live_after: PositiveFloat | None = 30.0
    withhold: Withhold = "nothing"

    @property
    def place(self) -> StorePlace:
        """Where runs are recorded."""
        return StorePlace(self.output_dir, self.uri or os.environ.get("MLFLOW_TRACKING_URI"))

    def open_sweep(self, sweep: Sweep) -> None:
        """Create the parent run, or take it up again, and with it the store."""
        # Held before it is recorded: another start in between would take its record for a dead one's.
        hold(sweep.folder)
        with self.opened(self._again(sweep.folder)) as records:
            # First its own record: begun again, it is none of the dead ones.
            self.parent(records, sweep)
            self._tell(records.end_dead(), sweep.folder)

    def parent(self, records: Records, sweep: Sweep) -> str:
        """The sweep's record, running; made now if there is none."""
        tags = {IDENTITY: sweep.identity, FOLDER: str(sweep.folder)}
        with self.place.locked():
            if found := records.find(IDENTITY, sweep.identity, None):
                return records.reopen(found[0].info.run_id, tags)
            return records.create(f"{sweep.name} {sweep.folder.name}", tags, time.time())

    def follow(self, run: Run, total: int) -> AbstractContextManager[Told]:
        """Have a process beside log how far the run is, once it takes long."""
        return following(run, total, self.live_after, {"uri": self.uri, "experiment": self.experiment})

    def log(self, run: SavedRun, asked: Iterable[Sample]) -> str | None:
        """Record a finished run: parameters, metrics, tags, dataset and files; then the traces."""
        sweep = Sweep.at(run.folder.parent)
        with (
            # Of a sweep and its runs the sweep: it is recorded with them.
            self.opened(self._again(sweep.folder if sweep else run.folder)) as records,
            self.place.alone_with(digest(run_identity(run))),
            holding(run.folder),
        ):
            self._tell(records.end_dead(), run.folder)
            parent = self.parent_of(records, sweep)
            record = self._record(records, run, parent)
            save_view(records, [run])
            with ended(records.client, record):
                self._write(records, record, run)
            # Traces take long. Who interrupts them has a finished record, with all its rates.
            self._trace(records, record, run, asked, digest([records.experiment, run_identity(run), parent or ""]))
        return None if sweep else look(self.place, self._given, records.experiment)

    def leave_sweep(self, sweep: Sweep) -> None:
        """End the record of a sweep that was interrupted, and those of its runs that ended with it."""
        try:
            if not self.place.begun:
                return
            with self.opened(self._again(sweep.folder)) as records:
                records.client.set_terminated(self.parent(records, sweep), "KILLED")
                # Processes of a launcher that were killed could not do it themselves.
                records.end_dead()
        finally:
            release(sweep.folder)

    def close_sweep(self, sweep: Sweep, runs: Sequence[SavedRun], finished: bool, page: MakePage) -> str | None:
        """Give the parent run the comparison of its runs and their page, and end it."""
        try:
            with self.opened(self._again(sweep.folder)) as records:
                parent, client = self.parent(records, sweep), records.client
                with ended(client, parent, "FINISHED" if finished else "FAILED"):
                    if runs:
                        self._compare(records, parent, runs, page)
                save_view(records, runs)
                save_pair(records, parent, runs)
                return look(self.place, self._given, records.experiment, pair_page(records))
        finally:
            release(sweep.folder)

    def _compare(self, records: Records, parent: str, runs: Sequence[SavedRun], page: MakePage) -> None:
        """What a sweep's runs are side by side, on its parent run."""
        columns, rows, text = form.comparison(runs)
        tables = {
            "comparison.json": (columns, rows),
            "scenarios.json": form.by_scenario(runs),
            "price.json": form.price_table(runs),
        }
        for name, table in tables.items():
            records.client.log_text(parent, form.json_table(*table), name)
        records.client.set_tag(parent, *form.table_tag(*tables))
        records.client.set_tag(parent, "mlflow.note.content", text)
        records.put(parent, {}, list(form.of_sweep(runs).items()), (round(time.time() * 1000), 0))
        with made(page, self.withheld(*runs)) as found:
            if found:
                records.client.log_artifact(parent, str(found))

    def _tell(self, ended: Sequence[Path], now: Path) -> None:
        """Say what was ended, and what of it can be recorded whole: a server that was away saw no end and no rates."""
        others = [folder for folder in ended if now not in (folder, *folder.parents) and folder not in now.parents]
        if not others:
            return
        say(f"{len(others)} records in MLflow said RUNNING of what runs no more: they say KILLED now.")
        # Of a sweep and its runs the sweep: it is recorded with them.
        whole = dict.fromkeys(folder.parent if Sweep.at(folder.parent) else folder for folder in others)
        for folder in whole:
            if (folder / RUN_FILE).is_file() or any(folder.glob(f"*/{RUN_FILE}")):
                say(f"What is finished of them is recorded by: {self._command(folder)}")

    def _again(self, folder: Path) -> str:
        """What makes up for a record that failed."""
        return (
            f"No result is lost by this. Once MLflow works: {self._command(folder)}; until then a record there may say "
            "RUNNING. Or go without: tracker=none."
        )

    def _command(self, folder: Path) -> str:
        """What records a run or a sweep."""
        return f"python -m mmsb.log {shlex.quote(f'run={folder}')}{self._given}"

    @property
    def _given(self) -> str:
        """What a command has to be given to find this store, as this one was."""
        given = {"tracker.uri": self.uri and without_user(self.uri), "tracker.experiment": self.experiment}
        if not self.place.given:
            given["output_dir"] = str(self.output_dir)
        usual = {"tracker.experiment": EXPERIMENT, "output_dir": "outputs"}
        return "".join(
            f" {key}={shlex.quote(value)}" for key, value in given.items() if value and value != usual.get(key)
        )

    def parent_of(self, records: Records, sweep: Sweep | None) -> str | None:
        """The record that a run belongs to; made now if it was not possible when the sweep began."""
        if sweep is None:
            return None
        if found := records.find(IDENTITY, sweep.identity, None):
            return str(found[0].info.run_id)
        parent = self.parent(records, sweep)
        if not alive(sweep.folder):
            # Recorded afterwards, by `mmsb.log` of a single run: nobody will come to close it.
            records.client.set_terminated(parent, "FINISHED")
        return parent

    def _record(self, records: Records, run: SavedRun, parent: str | None) -> str:
        """The run's record, open; what an unfinished start left of it is taken up or removed."""
        values = run.values
        asked = asked_for(values["choices"], values["config"])
        tags = {
            IDENTITY: run_identity(run),
            ASKED: asked,
            FOLDER: str(run.folder),
            **tags_of(run),
            **colour_of(run.folder, parent),
        }
        name = short_name(run.name)
        # The same measurement counts before the same command: a run that was begun again leaves a record of each.
        same = records.find(IDENTITY, run_identity(run), parent)
        begun = records.begun(asked, run.folder, parent)
        if same:
            if begun:
                records.client.delete_run(begun.info.run_id)
            return records.reopen(same[0].info.run_id, tags, name)
        if begun:
            return records.reopen(begun.info.run_id, tags, name)
        # When the run began, not when it was recorded: MLflow's durations are of the run.
        started = time.time() - values["record"].get("wall_seconds", 0)
        return records.create(name, {**tags, **({PARENT: parent} if parent else {})}, started)

    def _write(self, records: Records, record: str, run: SavedRun) -> None:
        client, values = records.client, run.values
        spent = values["record"].get("cost", NO_COST)
        metrics = form.headline(run.metrics) | form.spent(spent)
        at = (round(time.time() * 1000), int(run.metrics["n/total"]))
        params = form.parameters(values["choices"], values["config"], values["record"].get("defense", {}))
        records.put(record, params, list(metrics.items()), at)
        client.set_tag(record, "mlflow.note.content", cost(values["record"]) + form.bill(spent))
        client.log_inputs(record, [form.dataset_input(run)])
        client.log_text(record, form.json_table(*form.rates_table(run.metrics)), "rates.json")
        if spent["lines"]:
            client.log_text(record, form.json_table(*form.cost_table(spent)), "cost.json")
        client.log_artifact(record, str(run.folder / RUN_FILE))
        with shared_results(run, self.withheld(run)) as results:
            client.log_artifact(record, str(results))
        if self.withheld(run) != "all":
            with self.place.locked():  # the runs of a sweep have the same questions
                share_questions(records, run)

    def _trace(self, records: Records, record: str, run: SavedRun, asked: Iterable[Sample], key: str) -> None:
        """Write the traces, unless they are there: they have the times of the run that asked.

        The record is ended by now, and says how many it has.
        """
        withhold, tags = self.withheld(run), records.client.get_run(record).data.tags
        done = digest([run.values.get("results_digest"), self.traces, self.pictures, withhold])
        if tags.get(TRACED) == done or (self.traces == "none" and withhold == "nothing"):
            return
        target = traces.Target(self.place.uri, records.experiment, record)
        if TRACES in tags:  # all of them, not only those to be written now: they may show what is withheld now
            traces.delete(target, (traces.trace_id(key, row["id"]) for row in run.rows()))
        judge = str(run.values["choices"].get("judge", "judge"))
        total = run.values["record"]["dataset"]["samples"]
        originals = self.pictures == "originals"
        samples = traces.samples(run, asked, self.traces, originals=originals, key=key, withhold=withhold)
        # Before the first of them: if this process is killed, the record itself says what is missing and how to get it.
        records.client.set_tag(record, TRACES, "not all written: python -m mmsb.log writes them")
        count = sum(
            1 for _ in track(traces.write(target, samples, judge), "traces for MLflow", self._wanted(run, total))
        )
        records.client.set_tag(record, TRACES, str(count))
        records.client.set_tag(record, TRACED, done)

    def _wanted(self, run: SavedRun, total: int) -> int:
        if isinstance(self.traces, int):
            return min(self.traces, total)
        if self.traces == "unsafe":
            return sum(row["label"] == "unsafe" for row in run.rows())
        return total if self.traces == "all" else 0

    def withheld(self, *runs: SavedRun) -> Withhold:
        """What may not be seen where these runs are recorded: what they or this tracker's settings say."""
        return strictest(self.withhold, *(run.values["config"].get("withhold", "nothing") for run in runs))

    @contextmanager
    def opened(self, remedy: str) -> Iterator[Records]:
        """The experiment's records; whatever goes wrong meanwhile is a TrackingError."""
        place = self.place
        try:
            with place.opened() as client, place.locked():
                records = Records(client, experiment_id(client, self.experiment, place.artifacts))
            yield records
        except Exception as error:
            raise TrackingError(f"MLflow at {place.shown} did not take it: {reason_of(error)}", remedy) from error


@contextmanager
def ended(client: MlflowClient, run_id: str, status: str = "FINISHED") -> Iterator[None]:
    """End the run with `status`, or as FAILED if logging breaks off."""
    done = False
    try:
        yield
        done = True
    finally:
        client.set_terminated(run_id, status if done else "FAILED")
