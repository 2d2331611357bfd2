from __future__ import annotations

import json
import multiprocessing
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from mmsb.errors import TrackingError
from mmsb.image_mode.typography import TypedText
from mmsb.metrics.summary import Score, Summary, summarize
from mmsb.picture import BytesPicture, Picture, Stacked, jpeg
from mmsb.results import FILE, Results
from mmsb.run import Run
from mmsb.scenario import official_scenarios
from mmsb.tracker.format import ENDS
from mmsb.tracker.mlflow import PARENT_VARIABLE, MLflow
from mmsb.tracker.samples import neutral
from mmsb.types import Failure, Outcome, Prompt, Question, Response, Result, Sample, Verdict
from tests.conftest import Run as Command
from tests.endpoint import ChatServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
HOSTILE = "</script><script>alert(1)</script> \x1b[31mred \ud800 ${oc.env:HOME} =HYPERLINK(1)"
ANSWERS: list[Outcome] = [
    Response("No."),
    Response("Sure."),
    Response(HOSTILE),
    Response("x" * 1_000_000),
    Failure("timeout", "late"),
]


def picture(colour: str) -> Picture:
    return BytesPicture(jpeg(Image.new("RGB", (512, 512), colour)), colour)


def asked() -> list[Sample]:
    question = Question("1", FRAUD.id, {"plain": "q"}, {"key_phrase": "k"})
    stacked = Stacked(picture("red"), TypedText("a phrase"))
    images = [picture("blue"), picture("blue"), stacked, None, picture("green")]
    return [
        Sample(f"{FRAUD.id}/{i}/sd", Prompt(f"prompt {i} {HOSTILE}", image), question, FRAUD)
        for i, image in enumerate(images)
    ]


def finished_run(folder: Path, **values: Any) -> tuple[Run, Summary]:
    """A run whose files lie in `folder`, written as the evaluation writes them."""
    config = {
        "dataset": {"_target_": "mmsb.x", "root": "data"},
        "model": {"name": "m", "stop": ["a", "b"], "odd key!": "y" * 7000},
        "scenario": {"fraud": {"id": FRAUD.id}},
    }
    run = Run("image_mode=sd", folder, {"model": "openai", "judge": "refusal"}, config, **values)
    scores = []
    with Results(folder) as results:
        for sample, outcome in zip(asked(), ANSWERS, strict=True):
            verdict = verdict_on(outcome)
            results.add(Result(sample, outcome, verdict))
            scores.append(Score(FRAUD.id, sample.id, verdict.label, verdict.refusal))
        digest = results.write([sample.id for sample in asked()])
    summary = summarize(scores, [FRAUD])
    run.record.update(
        model={"name": "m"},
        judge={"name": "refusal"},
        defense={},
        dataset={"name": "demo", "samples": len(scores), "digest": "0" * 32},
        environment={"commit": "abc123"},
    )
    run.save(summary.metrics, digest)
    return run, summary


def verdict_on(outcome: Outcome) -> Verdict:
    if isinstance(outcome, Failure):
        return Verdict("failed")
    return Verdict("safe" if outcome.text == "No." else "unsafe", refusal=outcome.text == "No.", raw="because")


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the tests of this file: making it takes seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)


def client_of(output_dir: Path) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{output_dir}/mlflow.db")


def logged(output_dir: Path, name: str = "mmsb") -> list[Any]:
    """The experiment's runs, oldest first."""
    client = client_of(output_dir)
    experiment = client.get_experiment_by_name(name)
    assert experiment
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))


def artifact(output_dir: Path, run: Any, name: str) -> Path:
    path = Path(run.info.artifact_uri.removeprefix("file://")) / name
    assert path.is_relative_to(output_dir / "mlartifacts")
    return path


def test_a_run_has_its_settings_rates_tags_and_dataset(tmp_path: Path, output_dir: Path) -> None:
    run, summary = finished_run(tmp_path)
    line = MLflow(output_dir=output_dir, experiment="one").log(run, summary, asked())
    assert line
    assert f"ui --backend-store-uri sqlite:///{output_dir}/mlflow.db --host 127.0.0.1 --port 5000" in line
    (found,) = logged(output_dir, "one")
    assert (found.info.run_name, found.info.status) == ("image_mode=sd", "FINISHED")
    params = found.data.params
    assert (params["model"], params["judge"], params["scenario"]) == ("openai", "refusal", "fraud")
    assert (params["model.name"], params["model.stop"], params["dataset.root"]) == ("m", '["a", "b"]', "data")
    assert len(params["model.odd key_"]) <= 6000
    assert "7,000 characters" in params["model.odd key_"]
    rates = {key: value for key, value in summary.metrics.items() if not key.endswith(ENDS)}
    assert found.data.metrics.items() >= rates.items()
    assert found.data.metrics["interval/asr/fraud_low"] == summary.metrics["asr/fraud_low"]
    assert found.data.tags["mitre_atlas"] == "AML.T0015, AML.T0040, AML.T0042, AML.T0043"
    assert found.data.tags["mlflow.source.git.commit"] == "abc123"
    assert len(found.data.tags["fingerprint.model"]) == 32
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("demo", "0" * 32)


def test_samples_are_a_table_with_each_picture_once_and_neutral_texts(
    tmp_path: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, summary = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment="table").log(run, summary, asked())
    (found,) = logged(output_dir, "table")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{output_dir}/mlflow.db")  # the reader takes no other
    table = client_of(output_dir).load_table(found.info.experiment_id, "samples.json", [found.info.run_id])
    assert list(table.columns) == ["id", "scenario", "verdict", "image", "prompt", "response"]
    assert list(table["verdict"]) == ["safe", "unsafe", "unsafe", "unsafe", "failed"]
    files = [cell and cell["filepath"] for cell in table["image"]]
    assert files[0] == files[1]
    assert files[3] is None
    assert len(list(artifact(output_dir, found, "images").iterdir())) == 3
    with Image.open(artifact(output_dir, found, files[2])) as image:
        assert (image.width, image.height) == (256, 128 + 45)  # 512 of 1024 wide, above 180 pixels of text
        assert (
            max(image.convert("RGB").crop((140, 10, 250, 110)).tobytes()) < 30
        )  # black beside the narrower picture, as in the real one
    assert table["response"][2] == neutral(HOSTILE.replace("\ud800", "\ufffd"))
    assert "\x1b" not in table["response"][2]
    assert table["response"][3].endswith("(1,000,000 characters in all: see results.jsonl)")
    assert table["response"][4] == "[timeout: late]"
    assert artifact(output_dir, found, FILE).read_bytes() == (tmp_path / FILE).read_bytes()
    assert json.loads(artifact(output_dir, found, "run.json").read_text())["name"] == "image_mode=sd"
    assert "odd key!" in artifact(output_dir, found, "config.yaml").read_text()


def test_a_sample_becomes_a_trace_with_its_picture_and_verdict(tmp_path: Path, output_dir: Path) -> None:
    run, summary = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment="traces", traces=True).log(run, summary, asked())
    (found,) = logged(output_dir, "traces")
    traces = client_of(output_dir).search_traces(locations=[found.info.experiment_id], run_id=found.info.run_id)
    by_name = {trace.info.tags["mlflow.traceName"].split("/")[1]: trace for trace in traces}
    assert sorted(by_name) == ["0", "1", "2", "3", "4"]
    content = by_name["2"].data.spans[0].inputs["messages"][0]["content"]
    assert content[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert by_name["1"].data.spans[0].outputs["choices"][0]["message"]["content"] == "Sure."
    (verdict,) = by_name["1"].info.assessments
    assert (verdict.name, verdict.value, verdict.rationale) == ("verdict", "unsafe", "because")
    assert verdict.source.source_id == "refusal"
    assert by_name["4"].info.state == "ERROR"


def test_a_sweep_is_a_parent_with_its_runs_as_children(mmsb: Command, tmp_path: Path, output_dir: Path) -> None:
    MLflow(output_dir=output_dir, experiment="other").open_sweep(tmp_path, "other")
    (tmp_path / "outputs").mkdir()
    shutil.copy(output_dir / "mlflow.db", tmp_path / "outputs")  # a store that is there already saves its making
    with ChatServer() as server:
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        done = mmsb("-m", *endpoint, "scenario=fraud", "dataset.limit=1", "image_mode=typo,sd")
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("mlflow.db --host") == 1
    for noise in ("alembic", "INFO", "Warning", "Traceback", "🏃"):
        assert noise not in done.stderr
    parent, *children = logged(tmp_path / "outputs")
    assert parent.info.run_name.startswith("sweep 20")
    assert [run.info.run_name for run in children] == ["image_mode=typo", "image_mode=sd"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert parent.data.tags["mlflow.note.content"].count("image_mode=") == 2
    table = json.loads(artifact(tmp_path / "outputs", parent, "comparison.json").read_text())
    assert [row[0] for row in table["data"]] == ["image_mode=typo", "image_mode=sd"]


def log_in_own_process(folder: Path) -> str | None:
    run, summary = finished_run(folder / multiprocessing.current_process().name)
    return MLflow(output_dir=folder).log(run, summary, asked())


def test_processes_that_start_at_once_share_a_fresh_store(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert all(pool.map(log_in_own_process, [tmp_path] * 2, chunksize=1))
    assert [run.info.status for run in logged(tmp_path)] == ["FINISHED"] * 2


def test_a_store_that_cannot_be_written_leaves_the_results_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "outputs" / "mlflow.db").mkdir(parents=True)  # in the way of the file
    run, summary = finished_run(tmp_path / "run")
    with pytest.raises(TrackingError, match="run the same command again: nothing is asked twice") as caught:
        MLflow(output_dir=tmp_path / "outputs").log(run, summary, asked())
    assert f"The results are complete in {run.folder}" in caught.value.remedy
    assert (run.folder / FILE).is_file()


def test_a_run_that_breaks_off_while_it_is_logged_is_marked_failed(tmp_path: Path, output_dir: Path) -> None:
    run, summary = finished_run(tmp_path)
    with pytest.raises(TrackingError):
        MLflow(output_dir=output_dir, experiment="broken").log(run, summary, asked()[:2])
    (found,) = logged(output_dir, "broken")
    assert found.info.status == "FAILED"


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_an_unreachable_server_costs_neither_results_nor_the_exit_code(
    mmsb: Command, tmp_path: Path, closed_port: int
) -> None:
    uri = f"http://me:hidden-word@127.0.0.1:{closed_port}"
    with ChatServer() as server:
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        done = mmsb(
            *endpoint, "scenario=fraud", "dataset.limit=1", MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"
        )
    assert done.returncode == 0
    assert f"error: MLflow at http://127.0.0.1:{closed_port} did not take it" in done.stderr
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    (results,) = (tmp_path / "outputs").glob(f"runs/*/{FILE}")
    assert results.read_text().count("\n") == 1
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hidden-word" not in path.read_bytes()
    assert "hidden-word" not in done.stdout + done.stderr
