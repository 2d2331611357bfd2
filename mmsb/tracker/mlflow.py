"""MLflow: every run with its settings, rates, samples and pictures; a sweep as a parent with its runs as children.

The results are on disk before anything is logged, so that nothing here can lose them.
"""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsb.config import settings
from mmsb.cost import NO_COST, flat
from mmsb.digest import digest
from mmsb.errors import TrackingError
from mmsb.metrics.summary import Summary
from mmsb.results import FILE, read_rows
from mmsb.run import Run
from mmsb.tracker import samples
from mmsb.tracker.format import averages_first, comparison, dataset_input, json_table, parameters, table_tag
from mmsb.tracker.mlflow_store import StorePlace, experiment_id, without_user
from mmsb.tracker.traces import traced
from mmsb.types import Sample

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT_VARIABLE = "MMSB_MLFLOW_PARENT"
# MITRE ATLAS: evade a model, access through its inference API, verify an attack, craft adversarial data.
TECHNIQUES = "AML.T0015, AML.T0040, AML.T0042, AML.T0043"
AGAIN = (
    "The results are complete in {}. Once MLflow works, run the same command again: "
    "nothing is asked twice, it only logs. Or go without: tracker=none."
)
BATCH = 100  # parameters MLflow takes at once


@settings
class MLflow:
    """Records runs in MLflow.

    Attributes:
        output_dir: where the store lies if no server is named.
        uri: a tracking server or another MLflow URI; None: MLFLOW_TRACKING_URI, or SQLite in `output_dir`.
        experiment: the MLflow experiment.
        traces: whether each sample also becomes a trace.
    """

    output_dir: Path
    uri: str | None = None
    experiment: str = "mmsb"
    traces: bool = False

    @property
    def place(self) -> StorePlace:
        """Where runs are recorded."""
        return StorePlace(self.output_dir, self.uri or os.environ.get("MLFLOW_TRACKING_URI"))

    def open_sweep(self, folder: Path, name: str) -> dict[str, str]:
        """Create the parent run, and with it the store."""
        remedy = "The runs go on and are logged one by one. To go without MLflow: tracker=none."
        with self._opened(remedy) as (client, experiment):
            run = client.create_run(experiment, run_name=f"{name} {folder.name}", tags=_source_tags())
            return {PARENT_VARIABLE: run.info.run_id}

    def log(self, run: Run, summary: Summary, asked: Iterable[Sample]) -> str | None:
        """Record a finished run: parameters, metrics, tags, dataset, files and the samples table."""
        parent = os.environ.get(PARENT_VARIABLE) if run.sweep else None
        with self._opened(AGAIN.format(run.folder)) as (client, experiment), tempfile.TemporaryDirectory() as folder:
            tags = _source_tags() | _tags(run) | ({"mlflow.parentRunId": parent} if parent else {})
            run_id = client.create_run(experiment, run_name=run.name[:250], tags=tags).info.run_id
            with _ended(client, run_id):
                _log_values(client, run_id, run, summary)
                shown = samples.shown(read_rows(run.folder / FILE), asked, Path(folder))
                if self.traces:
                    shown = traced(shown, self.place.uri, experiment, run_id, run.choices.get("judge", "judge"))
                samples.write_table(shown, Path(folder))
                client.log_artifacts(run_id, folder)
                for name in (FILE, "run.json"):
                    client.log_artifact(run_id, str(run.folder / name))
                client.log_dict(run_id, dict(run.config), "config.yaml")
        return None if parent else self.place.look(experiment)

    def close_sweep(self, folder: Path, runs: Sequence[Mapping[str, Any]], finished: bool) -> str | None:
        """Give the parent run the comparison of its runs, and end it."""
        parent = os.environ.pop(PARENT_VARIABLE, None)
        if parent is None:  # open_sweep failed and said so; the runs stand alone
            return None
        with (
            self._opened(AGAIN.format(folder)) as (client, experiment),
            _ended(client, parent, "FINISHED" if finished else "FAILED"),
        ):
            columns, rows, text = comparison(runs)
            client.log_text(parent, json_table(columns, rows), "comparison.json")
            client.set_tag(parent, *table_tag("comparison.json"))
            client.set_tag(parent, "mlflow.note.content", text)
        return self.place.look(experiment)

    @contextmanager
    def _opened(self, remedy: str) -> Iterator[tuple[MlflowClient, str]]:
        """A client and the experiment's id; whatever goes wrong meanwhile is a TrackingError."""
        place = self.place
        try:
            with place.opened() as client:
                yield client, experiment_id(client, self.experiment, place.artifacts)
        except Exception as error:
            reason = next(iter(without_user(str(error)).splitlines()), "")[:300]
            problem = f"MLflow at {place.shown} did not take it: {type(error).__name__}: {reason}"
            raise TrackingError(problem, remedy) from error


@contextmanager
def _ended(client: MlflowClient, run_id: str, status: str = "FINISHED") -> Iterator[None]:
    """End the run with `status`, or as FAILED if logging breaks off."""
    done = False
    try:
        yield
        done = True
    finally:
        client.set_terminated(run_id, status if done else "FAILED")


def _source_tags() -> dict[str, str]:
    return {"mlflow.source.name": "mmsb", "mlflow.source.type": "LOCAL", "mlflow.user": getpass.getuser()}


def _tags(run: Run) -> dict[str, str]:
    record = run.record
    return {
        "mitre_atlas": TECHNIQUES,
        "mlflow.source.git.commit": str(record["environment"]["commit"]),
        "folder": str(run.folder),
        **{f"fingerprint.{part}": digest(record[part]) for part in ("model", "judge", "defense")},
        **dict([table_tag(samples.FILE)]),
    }


def _log_values(client: MlflowClient, run_id: str, run: Run, summary: Summary) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    values = (*averages_first(summary.metrics), *flat(run.record.get("cost", NO_COST)))
    metrics = [Metric(name, float(value), now, 0) for name, value in values]
    params = [Param(name, value) for name, value in parameters(run).items()]
    client.log_batch(run_id, metrics=metrics, params=params[:BATCH])
    for start in range(BATCH, len(params), BATCH):
        client.log_batch(run_id, params=params[start : start + BATCH])
    client.log_inputs(run_id, [dataset_input(run)])
