"""Which page of MLflow's UI shows what was recorded."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from mmsb.metrics import declared
from mmsb.tracker import format as form
from mmsb.tracker.mlflow_store import StorePlace
from mmsb.tracker.records import Records

COMPARISON = "mmsb.comparison"  # the experiment's tag with the last sweep's most telling pair
VIEW = "mmsb"


def runs_page(experiment: str) -> str:
    """The runs with their rates."""
    return f"#/experiments/{experiment}/evaluation-runs"


def pair_page(records: Records) -> tuple[str, str] | None:
    """The page that shows the last sweep's most telling pair question by question, and which pair that is."""
    tags = records.client.get_experiment(records.experiment).tags
    page, _, names = tags.get(COMPARISON, "").partition(" ")
    return (runs_page(records.experiment) + page, names) if page else None


def look(place: StorePlace, experiment: str, pair: tuple[str, str] | None = None) -> str:
    """How to see the runs: on the server, or by the command that starts the UI."""
    if not place.is_server:
        inside = "" if place.output_dir == Path("outputs") else f" output_dir={shlex.quote(str(place.output_dir))}"
        return f"look at it: python -m mmsb.ui{inside}"
    server = place.shown.rstrip("/")
    line = f"look at it: {server}/{runs_page(experiment)}"
    return line + (f"\n{pair[1]}, question by question: {server}/{pair[0]}" if pair else "")
