"""The process beside a long run: reads its progress from stdin and writes it to MLflow, until the run ends.

Started by `mmsb.tracker.live`. It prints nothing: what goes wrong here is told when the finished run is logged.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmsb.errors import TrackingError
from mmsb.run import short_name
from mmsb.tracker.base import Sweep
from mmsb.tracker.format import SIZE, SO_FAR, parameters
from mmsb.tracker.live import output_dir, remaining
from mmsb.tracker.mlflow import MLflow
from mmsb.tracker.records import ASKED, FOLDER, PARENT, Records, asked_for


def main(lines: Iterable[str]) -> None:
    """Follow a run until its last line; without one it was killed."""
    told = iter(lines)
    first = json.loads(next(told))
    tracker = MLflow(output_dir=output_dir(first["config"]), **first["tracker"])
    # Until the run says otherwise: the pipe of a run that was killed ends without a word.
    status = "KILLED"
    with tracker.opened("") as records:
        run = begin(tracker, records, first)
        for line in told:
            values = json.loads(line)
            if "end" in values:
                status = values["end"]
                break
            update(records, run, first, values)
        # An empty status: who logs the results ends the record, with its figures.
        if status:
            records.client.set_terminated(run, status)
            records.end_dead()  # a sweep that was killed with its run cannot end its own record


def begin(tracker: MLflow, records: Records, first: Mapping[str, Any]) -> str:
    """The run's record: the one that an interrupted start left, or a new one."""
    sweep = Sweep.at(Path(first["sweep"])) if first["sweep"] else None
    parent = tracker.parent_of(records, sweep)
    asked, folder = asked_for(first["choices"], first["config"]), Path(first["folder"])
    tags = {ASKED: asked, FOLDER: str(folder)}
    if begun := records.begun(asked, folder, parent):
        run = records.reopen(begun.info.run_id, tags)
    else:
        run = records.create(short_name(first["name"]), tags | ({PARENT: parent} if parent else {}), first["started"])
    records.put(run, parameters(first["choices"], first["config"]), [], (0, 0))
    return run


def update(records: Records, run: str, first: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Write how far the run is."""
    done, at = int(values["done"]), float(values["at"])
    metrics = [(SIZE, float(done))]
    if values["rated"]:
        metrics.append((SO_FAR, round(values["unsafe"] / values["rated"], 4)))
    # The note first: who sees the new figures then never reads them beside no note, or an older one.
    note = remaining(done, int(first["total"]), at - float(first["started"]))
    records.client.set_tag(run, "mlflow.note.content", note)
    records.put(run, {}, metrics, (round(at * 1000), done))


if __name__ == "__main__":
    try:
        main(sys.stdin)
    except TrackingError:
        sys.exit(1)
