"""Which pages of MLflow's UI show what was recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mmsb.run import SavedRun
from mmsb.tracker.format import MISSING, SIZE, headline_names, most_telling
from mmsb.tracker.mlflow_store import StorePlace
from mmsb.tracker.records import IDENTITY, Records, run_identity

COMPARISON = "mmsb.comparison"  # the experiment's tag with the last sweep's most telling pair
VIEW = "mmsb"  # the key of the view of the runs
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
GROUPS = {"model": 72, "image_mode": 92, "defense": 102, "judge": 70}  # with the width of the column in pixels
COUNTS = {SIZE: 50, MISSING: 74}
RATE, FIRST_RATE = 76, 90  # pixels; the first has the arrow of the sorting
BESIDE, LETTER, WIDEST = 26, 7, 330  # pixels of a column: around its text, of a letter, at most


def runs_page(experiment: str) -> str:
    """The runs with their options and rates, side by side."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={VIEW}"


def samples_page(experiment: str, *runs: str) -> str:
    """The samples of a run; of two, question by question."""
    chosen = "&".join(f"{key}={run}" for key, run in zip(("selectedRunUuid", "compareToRunUuid"), runs, strict=False))
    return f"#/experiments/{experiment}/evaluation-runs?{chosen}"


def save_view(records: Records, runs: Sequence[SavedRun]) -> None:
    """Have the page of the runs show what tells them apart, and their rates: MLflow shows neither by itself.

    Ordered by a rate, so that the runs of sweeps are a flat list; a tree comes folded. A column is as wide as these
    runs and those before need it: "input_guard > safety_prompt" cut off would be another defense.
    """
    first, *others = headline_names()
    saved = records.client.get_experiment(records.experiment).tags.get(VIEW_TAG, "")
    before = json.loads(saved).get("columnWidths", {}) if saved else {}
    params = {}
    for group, width in GROUPS.items():
        column, texts = f"params.`{group}`", [str(run.values["choices"].get(group, "")) for run in runs]
        needed = min(WIDEST, BESIDE + LETTER * max(map(len, texts), default=0))
        params[column] = max(width, needed, before.get(column, 0))
    # The counts stand before the later rates: at 1,280 pixels what follows is scrolled for.
    rates = {first: FIRST_RATE, **dict.fromkeys(others[:3], RATE), **COUNTS, **dict.fromkeys(others[3:], RATE)}
    columns = params | {f"metrics.`{name}`": width for name, width in rates.items()}
    view = {
        "orderByKey": f"metrics.`{first}`",
        "orderByAsc": False,
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": columns,
        "runListHidden": False,
        "viewMaximized": True,
    }
    # Written only where it differs: runs of a sweep that end together would wait for one another's write.
    if saved != (text := json.dumps(view)):
        records.client.set_experiment_tag(records.experiment, VIEW_TAG, text)


def save_pair(records: Records, parent: str, runs: Sequence[SavedRun]) -> None:
    """Note a sweep's most telling pair of runs."""
    if (pair := most_telling(runs)) is None:
        return
    first, second = (records.find(IDENTITY, run_identity(run), parent) for run in pair)
    if first and second:
        page = samples_page(records.experiment, first[0].info.run_id, second[0].info.run_id)
        note = f"{page} {pair[0].name} against {pair[1].name}"
        records.client.set_experiment_tag(records.experiment, COMPARISON, note[:5_000])


def pair_page(records: Records) -> tuple[str, str] | None:
    """The page that shows the last sweep's most telling pair question by question, and which pair that is."""
    tags = records.client.get_experiment(records.experiment).tags
    page, _, names = tags.get(COMPARISON, "").partition(" ")
    return (page, names) if page else None


def look(place: StorePlace, given: str, experiment: str, pair: tuple[str, str] | None = None) -> str:
    """How to see the runs: on the server, or by the command that starts the UI, which takes the settings `given`."""
    if not place.is_server:
        return f"look at it: python -m mmsb.ui{given}"
    server = place.shown.rstrip("/")
    line = f"look at it: {server}/{runs_page(experiment)}"
    return line + (f"\n{pair[1]}, question by question: {server}/{pair[0]}" if pair else "")
