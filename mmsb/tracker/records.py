"""MLflow runs as records of ours: each is found again by what it records, so that nothing is recorded twice."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsb.digest import digest
from mmsb.run import SavedRun, measured
from mmsb.tracker.alive import alive

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Recorded

IDENTITY, ASKED, FOLDER, HOST, TRACES = "mmsb.identity", "mmsb.asked", "mmsb.folder", "mmsb.host", "mmsb.traces"
PARENT = "mlflow.parentRunId"
TRACED = "mmsb.traced"  # digest of what its traces show, once all are written
BATCH = 100  # parameters MLflow takes at once


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one MLflow experiment."""

    client: MlflowClient
    experiment: str

    def find(self, tag: str, value: str, parent: str | None) -> list[Recorded]:
        """The records with a tag, below a parent (None: those that stand alone), oldest first."""
        found = self.client.search_runs(
            [self.experiment], f"tags.`{tag}` = '{value}'", order_by=["attributes.start_time ASC"]
        )
        return [run for run in found if run.data.tags.get(PARENT) == parent]

    def begun(self, asked: str, folder: Path, parent: str | None) -> Recorded | None:
        """A record of the same command that was not finished, and whose process is gone or this one."""
        for run in self.find(ASKED, asked, parent):
            tags = run.data.tags
            # A record of another machine is left alone: whether its process lives cannot be seen from here.
            gone = tags.get(FOLDER) == str(folder) or not alive(Path(tags.get(FOLDER, "")))
            if run.info.status != "FINISHED" and IDENTITY not in tags and tags.get(HOST) == host() and gone:
                return run
        return None

    def create(self, name: str, tags: Mapping[str, str], started: float) -> str:
        """A new record, running since `started` (seconds since the epoch)."""
        run = self.client.create_run(
            self.experiment, start_time=round(started * 1000), tags={**source_tags(), **tags}, run_name=name[:250]
        )
        return str(run.info.run_id)

    def reopen(self, run: str, tags: Mapping[str, str], name: str | None = None) -> str:
        """Take up a record that is there; under another name, if one is given."""
        self.client.update_run(run, "RUNNING", name and name[:250])
        for key, value in tags.items():
            self.client.set_tag(run, key, value)
        return run

    def end_dead(self) -> list[Path]:
        """End what was begun on this machine by processes that are gone: they cannot do it themselves.

        Returns:
            The folders of what was ended.
        """
        query, ended = f"attributes.status = 'RUNNING' and tags.`{HOST}` = '{host()}'", []
        for run in self.client.search_runs([self.experiment], query):
            folder = run.data.tags.get(FOLDER)
            if folder and not alive(Path(folder)):
                self.client.set_terminated(run.info.run_id, "KILLED")
                ended.append(Path(folder))
        return ended

    def put(
        self, run: str, params: Mapping[str, str], metrics: Sequence[tuple[str, float]], at: tuple[int, int]
    ) -> None:
        """Log parameters and metrics. What parameters a record has stays: MLflow lets none be changed.

        Args:
            run: the record.
            params: by name.
            metrics: names and values, in the order in which they are shown.
            at: milliseconds since the epoch, and the step.
        """
        from mlflow.entities import Metric, Param

        # Logging one again with another value is an error of MLflow's, which would lose the whole batch.
        known = self.client.get_run(run).data.params if params else {}
        new = [Param(name, value) for name, value in params.items() if name not in known]
        values = [Metric(name, float(value), *at) for name, value in metrics]
        self.client.log_batch(run, metrics=values, params=new[:BATCH])
        for start in range(BATCH, len(new), BATCH):
            self.client.log_batch(run, params=new[start : start + BATCH])


def host() -> str:
    """This machine."""
    return socket.gethostname()


def source_tags() -> dict[str, str]:
    """Who records, and from where."""
    return {
        "mlflow.source.name": "mmsb",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": getpass.getuser(),
        HOST: host(),
    }


def run_identity(run: SavedRun) -> str:
    """The digest of what a run measured; of its rows, where it was saved by a version that noted none."""
    return str(run.values.get("identity") or run.values.get("results_digest") or digest(str(run.folder)))


def asked_for(choices: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """Digest of what was asked for; known when a run begins, when its identity is not."""
    return digest([dict(choices), measured(config)])
