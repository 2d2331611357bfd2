"""What a record holds beside rates and traces: a run's rows, and the questions it asked as an evaluation dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from mmsb.digest import digest
from mmsb.results import FILE
from mmsb.run import SavedRun
from mmsb.tracker.format import sane_name
from mmsb.tracker.pictures import neutral
from mmsb.tracker.records import Records
from mmsb.withholding import Withhold, without

QUESTIONS = "mmsb.questions"  # how many an evaluation dataset holds, once it is whole
BATCH = 500


@contextmanager
def shared_results(run: SavedRun, withhold: Withhold) -> Iterator[Path]:
    """The file of a run's rows without what is withheld; it goes with the block."""
    if withhold == "nothing":
        yield run.folder / FILE
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        with path.open("wb") as file:
            for row in run.rows():
                file.write(orjson.dumps(without(row, withhold), option=orjson.OPT_APPEND_NEWLINE))
        yield path


def share_questions(records: Records, run: SavedRun) -> None:
    """Have MLflow's page of datasets show the questions: one dataset, whatever the image mode, model or defense."""
    # Without the repeats: they are answers, and the dataset is of questions.
    asked = {(row["scenario"], row["question_id"]): row for row in run.rows()}
    questions = [_record(row) for row in asked.values()]
    name = sane_name(f"{run.values['record']['dataset']['name']} {digest(questions)[:8]}")
    client = records.client
    there = client.search_datasets([records.experiment], f"name = '{name}'")
    # The tag comes last, so that a dataset whose writing was interrupted is written again.
    if any(QUESTIONS in one.tags for one in there):
        return
    dataset = there[0] if there else client.create_dataset(name, [records.experiment])
    store = client._tracking_client.store  # `merge_records` goes to the global store, not to this client's
    for start in range(0, len(questions), BATCH):
        store.upsert_dataset_records(dataset.dataset_id, questions[start : start + BATCH])
    client.set_dataset_tags(dataset.dataset_id, {QUESTIONS: str(len(questions))})


def _record(row: dict[str, Any]) -> dict[str, Any]:
    inputs = {"question": neutral(row["question"]), "scenario": row["scenario"], "id": row["question_id"]}
    return {"inputs": inputs | ({"harmless": True} if row["benign"] else {}), "tags": {"scenario": row["scenario"]}}
