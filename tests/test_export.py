"""Runs in other tools' forms: held against those tools' own readers."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from mmsb.export.job import Export
from mmsb.picture import decode
from mmsb.report.columns import columns
from mmsb.report.pictures import Recorded, original
from mmsb.results import read_rows
from mmsb.types import Sample
from tests.conftest import Run
from tests.reporting import Made

HOSTILE = '=HYPERLINK("http://evil.example")\n\0\u202e'
FAILED = {"outcome": "failed", "label": "failed", "response": None, "cause": "timeout", "message": "late"}
SPECIAL: list[dict[str, Any]] = [{"response": HOSTILE}, FAILED, {"label": "unparsed", "judge_reply": "perhaps"}]
READER = """
import json, sys
from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries
log = read_eval_log(sys.argv[1])
summaries = read_eval_log_sample_summaries(sys.argv[1])
print(json.dumps({
    "status": log.status, "model": log.eval.model, "samples": len(log.samples), "summaries": len(summaries),
    "asr": log.results.scores[0].metrics["asr/macro"].value,
    "answer": log.samples[0].output.completion, "kinds": [part.type for part in log.samples[0].input[-1].content],
    "scores": [list(sample.scores.values())[0].value if sample.scores else None for sample in log.samples],
    "errors": [sample.error.message if sample.error else None for sample in log.samples],
    "usage": log.stats.model_usage["tiny"].total_tokens, "first": list(log.results.scores[0].metrics)[0],
}))
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def answer(number: int, sample: Sample) -> dict[str, Any]:
        return SPECIAL[number] if number < len(SPECIAL) else {}

    folder = tmp_path_factory.mktemp("sweep")
    Made("sd", answer=answer).write(folder / "0")
    Made("text_only", "safety_prompt").write(folder / "1")
    return folder


def exported(sweep: Path, tmp_path: Path, form: Any) -> Path:
    Export(runs=(sweep,), format=form, into=tmp_path / "out").write_and_print()
    return tmp_path / "out"


def test_every_row_of_a_table_says_what_it_is_of(sweep: Path, tmp_path: Path) -> None:
    out = exported(sweep, tmp_path, "parquet")
    found = parquet.read_table(out / "samples.parquet").to_pylist()
    assert len(found) == 32
    keys = ("run", "dataset", "model", "image_mode", "defense", "judge")
    assert [found[0][key] for key in keys] == ["sd · none", "demo", "tiny", "sd", "none", "refusal"]
    assert [found[31][key] for key in keys[3:5]] == ["text_only", "safety_prompt"]
    assert found[0]["response"] == HOSTILE
    assert (found[1]["response"], found[1]["cause"]) == (None, "timeout")
    (run, _) = columns([sweep])
    shown = original(Recorded(run.run.folder, values=run.run.values), next(read_rows(run.rows)))
    assert shown is not None
    assert (out / found[0]["picture"]).read_bytes() == shown.encoded()[0]
    assert found[31]["picture"] is None


def test_no_cell_of_a_csv_file_is_a_formula(sweep: Path, tmp_path: Path) -> None:
    with (exported(sweep, tmp_path, "csv") / "samples.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 32
    assert found[0]["response"] == "'" + HOSTILE.replace("\0", "\u2400")
    assert not any(str(cell).startswith(("=", "+", "@")) for row in found for cell in row.values())


def test_a_hugging_face_folder_holds_the_pictures_in_its_rows(sweep: Path, tmp_path: Path) -> None:
    out = exported(sweep, tmp_path, "hf")
    table = parquet.read_table(out / "data/test-00000-of-00001.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["picture"] == {"_type": "Image"}
    assert features["score"] == {"dtype": "float64", "_type": "Value"}
    assert set(features) == set(table.column_names)
    rows = table.to_pylist()
    assert decode(rows[0]["picture"]["bytes"], "picture").width > 100
    assert rows[31]["picture"] is None
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "data"]


def test_a_log_of_inspect_holds_every_sample(sweep: Path, tmp_path: Path) -> None:
    first, second = sorted(exported(sweep, tmp_path, "inspect").glob("*.eval"))
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
        header = json.loads(archive.read("header.json"))
        sample = json.loads(archive.read("samples/06-Fraud/0/sd_epoch_1.json"))
    assert len(names) == 16 + 3
    assert header["results"]["scores"][0]["metrics"]["asr/macro"]["value"] == pytest.approx(1)
    assert sample["output"]["choices"][0]["message"]["content"] == HOSTILE
    assert second.name == "001_text_only_safety_prompt.eval"


def test_inspects_own_reader_takes_the_log(sweep: Path, tmp_path: Path) -> None:
    python = os.environ.get("MMSB_INSPECT_PYTHON") or shutil.which("inspect")
    if not python:
        pytest.skip("inspect_ai is not here: set MMSB_INSPECT_PYTHON to a Python that has it")
    python = python if "MMSB_INSPECT_PYTHON" in os.environ else str(Path(python).parent / "python")
    log = sorted(exported(sweep, tmp_path, "inspect").glob("*.eval"))[0]
    done = subprocess.run([python, "-c", READER, str(log)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["model"], found["samples"], found["summaries"]) == ("success", "tiny", 16, 16)
    assert found["asr"] == pytest.approx(1)
    assert found["answer"] == HOSTILE
    assert found["kinds"] == ["image", "text"]
    assert found["scores"] == ["unsafe", None, None, *["unsafe"] * 13]
    assert (found["usage"], found["first"]) == (15 * 29, "asr/macro")
    assert found["errors"] == [None, "timeout: late", *[None] * 14]


def test_the_command_says_how_to_read_what_it_wrote(sweep: Path, mmsb: Run, tmp_path: Path) -> None:
    done = mmsb(f"runs={sweep}", "format=csv", "into=made", module="mmsb.export")
    assert (done.returncode, done.stdout) == (0, "table: made/samples.csv\n"), done.stderr
    wrong = mmsb(f"runs={sweep}", "format=xls", module="mmsb.export")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: format='xls': input should be 'inspect'")
