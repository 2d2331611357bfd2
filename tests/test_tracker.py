from __future__ import annotations

import dataclasses
import http.server
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from mmsb.budget import SWEEP
from mmsb.calls import Calls, CallsOf
from mmsb.cost import COUNTS
from mmsb.errors import TrackingError
from mmsb.flow import Call
from mmsb.image_mode.typography import TypedText
from mmsb.metrics.summary import Score, Summary, summarize
from mmsb.picture import BytesPicture, Picture, Stacked, jpeg
from mmsb.results import FILE, Results
from mmsb.run import Run, SavedRun
from mmsb.scenario import official_scenarios
from mmsb.sweep import finish_sweep, leave_sweep
from mmsb.tracker import format as form
from mmsb.tracker import live, mlflow_store, traces
from mmsb.tracker.alive import alive, hold, release
from mmsb.tracker.base import Sweep
from mmsb.tracker.live import following
from mmsb.tracker.mlflow import MLflow
from mmsb.tracker.mlflow_store import StorePlace
from mmsb.tracker.pictures import LONGEST, neutral
from mmsb.tracker.records import FOLDER
from mmsb.tracker.times import before, when
from mmsb.types import Failure, Outcome, Prompt, Question, Response, Result, Sample, Step, Verdict
from mmsb.ui.serving import Serving, free_port, serving, taken
from tests.conftest import Run as Command
from tests.endpoint import ChatServer
from tests.forks import Fork, python
from tests.recording import SHARED

if TYPE_CHECKING:
    from mlflow import MlflowClient

FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
HOSTILE = "</script><script>alert(1)</script> \x1b[31mred \ud800 ${oc.env:HOME} =HYPERLINK(1)"
JUDGED = "because"
THIS = sys.modules[__name__]
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


def calls_of(sample: Sample, outcome: Outcome, at: float) -> list[Call]:
    """A guard, then the target, then the judge's model."""
    reply = Response("fine", input_tokens=3, output_tokens=1, seconds=1, at=at + 1)
    judged = Response(JUDGED, input_tokens=5, output_tokens=4, seconds=1, at=at + 4)
    target = outcome
    if isinstance(outcome, Response):
        target = dataclasses.replace(outcome, input_tokens=7, output_tokens=2, seconds=2, at=at + 3)
    return [
        Call("answer", "guard", "guard-model", Prompt("Is it fine?", sample.prompt.image), reply, at, at + 1),
        Call("answer", None, "m", dataclasses.replace(sample.prompt, system="Be good."), target, at + 1, at + 3),
        Call("judge", None, "judge-model", Prompt("Is this safe?"), judged, at + 3, at + 4),
    ]


def finished_run(folder: Path, **values: Any) -> tuple[SavedRun, Summary]:
    """A run whose files lie in `folder`, written as the evaluation writes them."""
    config = {
        "dataset": {"_target_": "mmsb.x", "root": "data"},
        "model": {"name": "m", "stop": ["a", "b"], "odd key!": "y" * 7000},
        "scenario": {"fraud": {"id": FRAUD.id}},
    }
    run = Run("image_mode=sd", folder, {"model": "openai", "judge": "refusal"}, config, **values)
    scores = []
    with Results(folder) as results, Calls(folder) as calls:
        for number, (sample, outcome) in enumerate(zip(asked(), ANSWERS, strict=True)):
            verdict = verdict_on(outcome)
            calls.add(sample.id, calls_of(sample, outcome, 1e9 + 10 * number))
            results.expect(sample.id)
            results.add(Result(sample, outcome, verdict))
            scores.append(Score(FRAUD.id, sample.id, verdict.label, verdict.refusal))
        digest = results.write()
        calls.keep()
    summary = summarize(scores, [FRAUD])
    run.record.update(
        model={"name": "m"},
        judge={"name": "refusal"},
        defense={},
        dataset={"name": "demo", "samples": len(scores), "digest": "0" * 32},
        environment={"commit": "abc123"},
        totals={"calls": 5, "input_tokens": 9, "output_tokens": 9, "seconds": 1},
    )
    run.save(summary.metrics, digest)
    return SavedRun.open(folder), summary


def verdict_on(outcome: Outcome) -> Verdict:
    if isinstance(outcome, Failure):
        return Verdict("failed")
    refused = outcome.text == "No."
    return Verdict("safe" if refused else "unsafe", refusal=refused, raw=JUDGED, score=0.25, comprehended=True)


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the tests of this file: making it takes seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def client_of(output_dir: Path) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{output_dir}/mlflow.db")


def logged(output_dir: Path, name: str = "mmsb") -> list[Any]:
    """The experiment's runs, oldest first."""
    client = client_of(output_dir)
    experiment = client.get_experiment_by_name(name)
    assert experiment
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))


def traced(output_dir: Path, run: Any) -> dict[str, Any]:
    """The traces of a run, by the number of their sample."""
    found = client_of(output_dir).search_traces(locations=[run.info.experiment_id], run_id=run.info.run_id)
    return {trace.info.tags["mlflow.traceName"].split("/")[1]: trace for trace in found}


def artifact(output_dir: Path, run: Any, name: str) -> Path:
    path = Path(run.info.artifact_uri.removeprefix("file://")) / name
    assert path.is_relative_to(output_dir / "mlartifacts")
    return path


def test_a_run_has_its_settings_few_rates_tags_tables_and_dataset(tmp_path: Path, output_dir: Path) -> None:
    run, summary = finished_run(tmp_path)
    line = MLflow(output_dir=output_dir, experiment="one", traces="none").log(run, asked())
    # With all that this one was given: without it the UI would show another store, or another experiment.
    assert line == f"look at it: python -m mmsb.ui tracker.experiment=one output_dir={output_dir}"
    elsewhere = f"sqlite:///{output_dir}/mlflow.db"
    line = MLflow(output_dir=tmp_path, uri=elsewhere, experiment="one", traces="none").log(run, asked())
    assert line == f"look at it: python -m mmsb.ui tracker.uri={elsewhere} tracker.experiment=one"
    (found,) = logged(output_dir, "one")
    assert (found.info.run_name, found.info.status) == ("sd", "FINISHED")
    params = found.data.params
    assert (params["model"], params["judge"], params["scenario"]) == ("openai", "refusal", "fraud")
    assert (params["model.name"], params["model.stop"], params["dataset.root"]) == ("m", '["a", "b"]', "data")
    assert len(params["model.odd key_"]) <= 6000
    assert "7,000 characters" in params["model.odd key_"]
    metrics = found.data.metrics
    assert metrics["macro ASR"] == pytest.approx(summary.metrics["asr/macro"], abs=5e-5)
    assert (metrics["micro ASR"], metrics["refusals"], metrics["n"], metrics["not rated"]) == (0.75, 0.25, 5, 1)
    assert len(metrics) < 10
    table = json.loads(artifact(output_dir, found, "rates.json").read_text())
    assert table["data"][0][0] == "fraud"
    assert table["data"][0][1].startswith("75.0 [")
    assert table["columns"][:3] == ["scenario", "ASR %", "ASR bounds %"]  # in the rate's cell they would be cut off
    assert table["data"][0][2] == "60.0 .. 80.0"  # three unsafe of four rated, and one that failed
    assert found.data.tags["mitre_atlas"] == "AML.T0015, AML.T0040, AML.T0042, AML.T0043"
    assert found.data.tags["mlflow.source.git.commit"] == "abc123"
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("demo", "0" * 32)
    assert artifact(output_dir, found, FILE).read_bytes() == (tmp_path / FILE).read_bytes()


def test_a_sample_is_a_trace_with_a_span_for_each_call(tmp_path: Path, output_dir: Path) -> None:
    run, _ = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment="traces").log(run, asked())
    (found,) = logged(output_dir, "traces")
    traces = traced(output_dir, found)
    assert sorted(traces) == ["0", "1", "2", "3", "4"]
    spans = {span.name: span for span in traces["2"].data.spans}
    root = spans.pop("sample")
    assert {span.parent_id for span in spans.values()} == {root.span_id}
    kinds = {name: span.span_type for name, span in spans.items()}
    assert kinds == {"guard": "GUARDRAIL", "target": "CHAT_MODEL", "judge": "EVALUATOR"}
    times = {
        name: (span.start_time_ns // 10**9 - 10**9, span.end_time_ns // 10**9 - 10**9) for name, span in spans.items()
    }
    assert times == {"guard": (20, 21), "target": (21, 23), "judge": (23, 24)}
    assert (root.start_time_ns, root.end_time_ns) == (spans["guard"].start_time_ns, spans["judge"].end_time_ns)
    system, user = spans["target"].inputs["messages"]
    assert system["content"] == "Be good."
    assert user["content"][0]["text"] == neutral(f"prompt 2 {HOSTILE}".replace("\ud800", "\ufffd"))
    assert user["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert "\x1b" not in json.dumps(root.outputs)
    assert neutral("\u202etxt.exe") == "U+202Etxt.exe"
    assert root.outputs["choices"][0]["message"]["content"] == neutral(HOSTILE.replace("\ud800", "\ufffd"))
    assert spans["target"].get_attribute("mlflow.chat.tokenUsage")["total_tokens"] == 9
    assert traces["2"].info.token_usage["total_tokens"] == 22
    assert spans["target"].model_name == "m"
    long = traces["3"].data.spans[0].outputs["choices"][0]["message"]["content"]
    assert (long[:9], len(long) < LONGEST + 100) == ("xxxxxxxxx", True)
    assert traces["4"].info.state == "ERROR"
    assert {span.name: span.status.status_code for span in traces["4"].data.spans}["target"] == "ERROR"


def test_the_request_is_the_question_alone_and_the_verdict_an_assessment(tmp_path: Path, output_dir: Path) -> None:
    run, _ = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment="assessed").log(run, asked())
    (found,) = logged(output_dir, "assessed")
    trace = traced(output_dir, found)["1"]
    assert trace.info.request_preview == "fraud/1: q"
    assert trace.info.response_preview == "Sure."
    told = {one.name: one for one in trace.info.assessments}
    assert {name: one.value for name, one in told.items()} == {
        "verdict": "unsafe",
        "refusal": False,
        "comprehension": True,
        "score": 0.25,
    }
    assert (told["verdict"].source.source_type, told["verdict"].source.source_id) == ("LLM_JUDGE", "refusal")
    assert told["verdict"].rationale == "because"
    assert told["refusal"].source.source_type == "CODE"
    assert {one.metadata["mlflow.assessment.sourceRunId"] for one in told.values()} == {found.info.run_id}


@pytest.mark.parametrize(("which", "names"), [("unsafe", "123"), (2, "03"), (99, "01234"), ("none", "")])
def test_only_the_chosen_samples_become_traces(tmp_path: Path, output_dir: Path, which: Any, names: str) -> None:
    run, _ = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment=f"some {which}", traces=which).log(run, asked())
    (found,) = logged(output_dir, f"some {which}")
    assert "".join(sorted(traced(output_dir, found))) == names


PRICED = {"prices": {"_target_": "x", "date": "2026-01-02", "source": "a test", "pictures": {}, "llm": {}}}


@pytest.mark.parametrize("unpriced", [False, True])
def test_a_trace_costs_what_its_calls_cost_and_none_is_told_a_part_for_the_whole(
    tmp_path: Path, output_dir: Path, unpriced: bool
) -> None:
    models = {name: {"input": 2.0, "output": 10.0} for name in ("guard-model", "m", "judge-model")[: 3 - unpriced]}
    run, _ = finished_run(tmp_path)
    PRICED["prices"]["llm"] = models
    run = SavedRun(run.folder, {**run.values, "config": {**run.values["config"], **PRICED}})
    name = f"cost {unpriced}"
    MLflow(output_dir=output_dir, experiment=name, traces=2).log(run, asked())
    (found,) = logged(output_dir, name)
    trace = traced(output_dir, found)["0"]
    spans = {span.name: span for span in trace.data.spans}
    if unpriced:
        assert trace.info.cost is None
        assert all(span.llm_cost is None for span in trace.data.spans)
        assert spans["target"].get_attribute("dollars") == pytest.approx((7 * 2 + 2 * 10) / 1e6)
        return
    costs = {name: span.llm_cost["total_cost"] for name, span in spans.items() if span.llm_cost}
    assert costs == {
        "guard": pytest.approx((3 * 2 + 1 * 10) / 1e6),
        "target": pytest.approx((7 * 2 + 2 * 10) / 1e6),
        "judge": pytest.approx((5 * 2 + 4 * 10) / 1e6),
    }
    assert trace.info.cost["total_cost"] == pytest.approx(sum(costs.values()))


def call_at(
    started: float, ended: float, at: float | None, seconds: float = 1.0, counted: bool = True
) -> dict[str, Any]:
    return {"started": started, "ended": ended, "at": at, "seconds": seconds, "counted": counted}


def test_what_was_answered_before_shows_the_times_of_then() -> None:
    resumed = [
        call_at(1000.0, 1000.001, at=500.0, seconds=2.0),
        call_at(1000.001, 1000.004, at=1000.004, seconds=0.0, counted=False),
        call_at(1000.01, 1003.01, at=1003.01, seconds=3.0),
    ]
    found = when(resumed, now=0.0)
    assert found.calls[0] == (498.0, 500.0)
    assert found.calls[2] == pytest.approx((1000.01, 1003.01))
    assert found.whole == pytest.approx((498.0, 1003.01))
    assert found.seconds == pytest.approx(5.003)  # the minutes between the two starts are nobody's time
    assert (before(resumed[0]), before(resumed[2])) == (True, False)


@pytest.mark.parametrize(
    ("calls", "shown"),
    [
        ([call_at(10.0, 12.0, at=12.0, seconds=2.0), call_at(12.0, 12.1, at=5.0)], (10.0, 12.1)),  # judged for another
        ([call_at(10.0, 10.1, at=None, seconds=2.0)], (10.0, 10.1)),  # from a store that kept no times
        ([], (7.0, 7.0)),
    ],
)
def test_times_that_cannot_be_right_are_said_to_be_unknown(calls: list[dict[str, Any]], shown: Any) -> None:
    found = when(calls, now=7.0)
    assert (found.whole, found.seconds) == (shown, None)


def test_a_trace_whose_time_is_not_known_says_so(tmp_path: Path, output_dir: Path) -> None:
    run, _ = finished_run(tmp_path)
    lines = (tmp_path / "calls.jsonl").read_text()
    (tmp_path / "calls.jsonl").write_text(re.sub(r'"at":[\d.]+', '"at":null', lines))
    MLflow(output_dir=output_dir, experiment="times", traces=1).log(run, asked())
    (trace,) = traced(output_dir, logged(output_dir, "times")[0]).values()
    assert trace.info.execution_duration is None
    (root,) = [span for span in trace.data.spans if span.parent_id is None]
    assert root.get_attribute("times") == "not known: answers came from the store"


@pytest.mark.parametrize("withhold", ["answers", "all"])
def test_what_is_withheld_is_in_no_file_of_the_store(
    tmp_path: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch, withhold: Any
) -> None:
    written, shown = f"canary-written-{withhold}", f"canary-shown-{withhold}"
    stepped = Response(f"step {written}", steps=(Step("guard", written, written),))
    monkeypatch.setattr(THIS, "ANSWERS", [Response(written), stepped, *ANSWERS[2:4], Failure("timeout", written)])
    monkeypatch.setattr(THIS, "JUDGED", written)
    plain = asked()
    named = [dataclasses.replace(one.question, texts={"plain": shown}) for one in plain]
    prompts = [dataclasses.replace(one.prompt, text=f"{shown} {written * (n == 1)}") for n, one in enumerate(plain)]
    marked = [dataclasses.replace(s, prompt=p, question=q) for s, p, q in zip(plain, prompts, named, strict=True)]
    monkeypatch.setattr(THIS, "asked", lambda: marked)
    run, _ = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment=f"withheld {withhold}", withhold=withhold).log(run, asked())
    (found,) = logged(output_dir, f"withheld {withhold}")
    traces = traced(output_dir, found)
    assert {trace.info.request_preview for trace in traces.values()} == {
        f"fraud/1: {shown}" if withhold == "answers" else "fraud/1"
    }
    told = {one.name: one for one in traces["1"].info.assessments}
    assert (told["verdict"].value, told["verdict"].rationale, told["verdict"].source.source_type) == (
        "unsafe",
        None,
        "LLM_JUDGE",
    )
    assert traces["4"].info.state == "ERROR"
    rows = [json.loads(line) for line in artifact(output_dir, found, FILE).read_text().splitlines()]
    assert [row["label"] for row in rows] == ["unsafe", "unsafe", "unsafe", "unsafe", "failed"]
    files = [str(path) for path in output_dir.rglob("*") if path.is_file()]
    # Read by another process: whoever closes SQLite's file drops all locks that its own process holds on it.
    in_files = subprocess.run(["cat", *files], capture_output=True, check=True).stdout
    assert written.encode() not in in_files
    assert (shown.encode() in in_files) == (withhold == "answers")
    pictures = [part for trace in traces.values() for span in trace.data.spans for part in json.dumps(span.inputs)]
    assert ("data:image" in "".join(pictures)) == (withhold == "answers")


def test_what_is_withheld_later_leaves_no_trace_of_the_run(tmp_path: Path, output_dir: Path) -> None:
    run, _ = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment="later withheld").log(run, asked())
    (found,) = logged(output_dir, "later withheld")
    assert len(traced(output_dir, found)) == 5
    MLflow(output_dir=output_dir, experiment="later withheld", withhold="answers", traces="none").log(run, asked())
    assert traced(output_dir, found) == {}
    assert "Sure." not in artifact(output_dir, found, FILE).read_text()


def test_the_questions_are_an_evaluation_dataset_once(tmp_path: Path, output_dir: Path) -> None:
    run, _ = finished_run(tmp_path)
    for name in ("questions", "questions", "other questions"):
        MLflow(output_dir=output_dir, experiment=name, traces="none").log(run, asked())
    client = client_of(output_dir)
    for name in ("questions", "other questions"):
        experiment = client.get_experiment_by_name(name)
        assert experiment
        (dataset,) = client.search_datasets([experiment.experiment_id])
        assert dataset.name.startswith("demo ")
        (record,) = client._tracking_client.store._load_dataset_records(dataset.dataset_id)[0]
        assert record.inputs == {"question": "q", "scenario": "fraud", "id": "1"}


def test_a_number_of_traces_is_spread_evenly_and_never_missed() -> None:
    for total in (1, 5, 104, 1680):
        for which in (1, 3, 100, 5000):
            picked = [n for n in range(total) if traces.chosen(which, {}, n, total)]
            assert len(picked) == min(which, total)
            gaps = {after - before for before, after in pairwise(picked)}
            assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_run_recorded_again_is_brought_up_to_date_not_doubled(tmp_path: Path, output_dir: Path) -> None:
    first, _ = finished_run(tmp_path / "a")
    again, _ = finished_run(tmp_path / "b")
    assert first.values["identity"] == again.values["identity"]
    tracker = MLflow(output_dir=output_dir, experiment="again")
    tracker.log(first, asked())
    (before,) = logged(output_dir, "again")
    shown = {name: len(trace.info.assessments) for name, trace in traced(output_dir, before).items()}
    assert shown["1"] == 4
    tracker.log(again, iter(()))  # its traces are there: no sample is looked at
    MLflow(output_dir=output_dir, experiment="again", pictures="originals").log(again, asked())
    (after,) = logged(output_dir, "again")
    assert after.info.run_id == before.info.run_id
    assert (after.info.status, after.data.metrics) == ("FINISHED", before.data.metrics)
    assert after.data.tags["mmsb.folder"] == str(tmp_path / "b")
    assert {name: len(trace.info.assessments) for name, trace in traced(output_dir, after).items()} == shown
    MLflow(output_dir=output_dir, experiment="elsewhere").log(again, asked())  # the ids are of another experiment
    (other,) = logged(output_dir, "elsewhere")
    assert len(traced(output_dir, other)) == len(traced(output_dir, after)) == 5


def test_an_interrupted_writing_of_traces_leaves_a_finished_record_and_is_made_up_for(
    tmp_path: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = finished_run(tmp_path)
    tracker = MLflow(output_dir=output_dir, experiment="interrupted")

    def interrupted() -> Iterator[Sample]:
        yield from asked()[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(traces, "BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        tracker.log(run, interrupted())
    (found,) = logged(output_dir, "interrupted")
    assert found.info.status == "FINISHED"
    assert found.data.tags["mmsb.traces"].startswith("not all written")
    assert len(traced(output_dir, found)) == 2
    tracker.log(run, asked())
    (found,) = logged(output_dir, "interrupted")
    assert (found.data.tags["mmsb.traces"], len(traced(output_dir, found))) == ("5", 5)


def test_a_sweep_that_does_not_come_to_its_end_says_so_in_its_record(
    tmp_path: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker, sweep = MLflow(output_dir=output_dir, experiment="left"), Sweep(tmp_path, "demo", "6" * 32)
    sweep.save()
    said = []

    def interrupted_at_the_end() -> None:
        def save_view(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("mmsb.tracker.mlflow.save_view", save_view)
        assert finish_sweep() == 130

    nothing_could_begin = partial(finish_sweep, 1)
    for leave in (leave_sweep, nothing_could_begin, interrupted_at_the_end):
        tracker.open_sweep(sweep)
        monkeypatch.setenv(SWEEP, str(tmp_path))
        monkeypatch.setattr("mmsb.sweep._trackers", {str(tmp_path): tracker})
        with tracker.opened("") as records:
            records.create("a run whose process was ended too", {FOLDER: str(tmp_path / "0")}, time.time())
        leave()
        said.append([found.info.status for found in logged(output_dir, "left")])
    assert said == [["KILLED", "KILLED"], ["FAILED", "KILLED", "RUNNING"], ["KILLED", "KILLED", "KILLED", "KILLED"]]
    assert (
        "error:" not in capsys.readouterr().err
    )  # a sweep without a finished run has no tables: nothing goes wrong over it
    assert not alive(tmp_path)
    nowhere = MLflow(output_dir=tmp_path / "never")
    nowhere.leave_sweep(sweep)  # interrupted before there was a store: none is made for that
    assert not nowhere.output_dir.exists()


def test_a_sweep_begun_again_keeps_its_parent_and_has_each_run_once(tmp_path: Path, output_dir: Path) -> None:
    tracker = MLflow(output_dir=output_dir, experiment="sweep", traces="none")
    for name in ("first", "second"):  # the same sweep, in another folder
        sweep = Sweep(tmp_path / name, "demo", "5" * 32)
        sweep.save()
        tracker.open_sweep(sweep)
        run, _ = finished_run(sweep.folder / "0")
        assert {found.info.status for found in logged(output_dir, "sweep")} <= {"RUNNING", "FINISHED"}
        assert tracker.log(run, asked()) is None
        tracker.close_sweep(sweep, [run], True, lambda withhold, into: None)
    parent, child = logged(output_dir, "sweep")
    if "mlflow.parentRunId" in parent.data.tags:
        parent, child = child, parent
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {parent.info.status, child.info.status} == {"FINISHED"}
    assert (parent.data.metrics["runs"], parent.data.metrics["highest ASR"]) == (1, 0.75)
    table = json.loads(artifact(output_dir, parent, "comparison.json").read_text())
    assert (table["columns"][0], [row[0] for row in table["data"]]) == ("image_mode", ["sd"])
    longer = dataclasses.replace(run, values={**run.values, "choices": {"defense": "input_guard > safety_prompt"}})
    tracker.close_sweep(sweep, [longer], True, lambda withhold, into: None)
    tracker.close_sweep(sweep, [run], True, lambda withhold, into: None)
    view = client_of(output_dir).get_experiment(parent.info.experiment_id).tags["mlflow.sharedViewState.mmsb"]
    assert json.loads(view)["columnWidths"]["params.`defense`"] > 200  # pixels, for 27 letters; and stays so
    tracker.log(dataclasses.replace(run, folder=shutil.copytree(run.folder, tmp_path / "alone")), asked())
    assert len(logged(output_dir, "sweep")) == 3  # alone it is a record of its own, and the sweep stays whole


def test_a_sweep_is_known_by_the_ends_of_its_rates_and_by_its_price() -> None:
    def run(spent: dict[str, float], metrics: dict[str, float]) -> SavedRun:
        line = {"stage": "answer", "uncounted": 0, "failed": 0, **dict.fromkeys(COUNTS[2:], 1.0), **spent}
        record = {"cost": {"lines": [line]}, "dataset": {"samples": 2}}
        return SavedRun(Path(), {"name": "a=1", "record": record, "metrics": {"n/total": 2.0, **metrics}})

    runs = [
        run({"calls": 3}, {"asr/macro": 0.25}),
        run({"calls": 2, "dollars": 0.5}, {"false_refusal_rate/macro": 0.5}),
        run({"calls": 0, "failed": 4}, {"accuracy/macro": 0.75, "n/tested": 2.0, "false_refusal_rate/macro": 1.0}),
    ]
    told = form.of_sweep(runs)
    assert (told["highest ASR"], told["lowest accuracy"], told["highest false refusals"]) == (0.25, 0.75, 0.5)
    assert (told["calls"], told["failed calls"]) == (9, 4)
    assert "dollars" not in told  # of the last nobody knows them
    assert form.of_sweep(runs[:2])["dollars"] == 1.5
    assert form.price_table(runs) == (
        ["a", "calls", "failed", "input tokens", "output tokens", "seconds", "dollars"],
        [["1", 1.5, 0.0, 0.5, 0.5, 0.5, 0.5], ["1", 1.0, 0.0, 0.5, 0.5, 0.5, 0.25], ["1", 2.0, 2.0, *["-"] * 4]],
    )


def test_what_a_dead_process_left_running_is_ended_by_the_next_start(tmp_path: Path, output_dir: Path) -> None:
    tracker = MLflow(output_dir=output_dir, experiment="dead", traces="none")
    sweep = Sweep(tmp_path / "sweep", "demo", "6" * 32)
    tracker.open_sweep(sweep)
    other = MLflow(output_dir=output_dir, experiment="dead", traces="none")
    other.log(finished_run(tmp_path / "a")[0], asked())
    assert [run.info.status for run in logged(output_dir, "dead")].count("RUNNING") == 1  # it lives
    release(sweep.folder)  # as the system does when a process is killed
    other.log(finished_run(tmp_path / "a")[0], asked())
    assert sorted(run.info.status for run in logged(output_dir, "dead")) == ["FINISHED", "KILLED"]


def test_what_a_server_that_was_away_says_running_of_is_ended_and_told_once_it_is_back(
    tmp_path: Path, output_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MLflow(output_dir=output_dir, experiment="away", traces="none")
    sweep = Sweep(tmp_path / "a sweep", "demo", "7" * 32)
    sweep.save()
    tracker.open_sweep(sweep)
    run, _ = finished_run(sweep.folder / "0")
    away = dataclasses.replace(tracker, uri="http://127.0.0.1:9")
    with pytest.raises(TrackingError):
        away.log(run, asked())
    with pytest.raises(TrackingError, match="until then a record there may say RUNNING"):
        away.close_sweep(sweep, [run], True, lambda withhold, into: None)
    (parent,) = logged(output_dir, "away")
    assert parent.info.status == "RUNNING"
    tracker.log(finished_run(tmp_path / "next")[0], asked())
    said = capsys.readouterr().err
    assert "1 records in MLflow said RUNNING of what runs no more: they say KILLED now." in said
    assert f"mmsb.log 'run={sweep.folder}' tracker.experiment=away output_dir={output_dir}" in said
    assert sorted(one.info.status for one in logged(output_dir, "away")) == ["FINISHED", "KILLED"]
    tracker.open_sweep(sweep)  # as mmsb.log does
    tracker.log(run, asked())
    tracker.close_sweep(sweep, [run], True, lambda withhold, into: None)
    assert "KILLED" not in capsys.readouterr().err
    assert [one.info.status for one in logged(output_dir, "away")] == ["FINISHED"] * 3


def test_a_lock_tells_who_lives(tmp_path: Path) -> None:
    assert not alive(tmp_path)
    hold(tmp_path)
    assert alive(tmp_path)
    release(tmp_path)
    assert not alive(tmp_path)


def test_a_sweep_is_a_parent_with_its_runs_as_children(mmsb: Command, tmp_path: Path, output_dir: Path) -> None:
    MLflow(output_dir=output_dir, experiment="other").open_sweep(Sweep(tmp_path / "s", "other", "7" * 32))
    release(tmp_path / "s")
    (tmp_path / "outputs").mkdir()
    with closing(sqlite3.connect(output_dir / "mlflow.db")) as store:  # a store that is there already saves its making
        store.execute("VACUUM INTO ?", (str(tmp_path / "outputs" / "mlflow.db"),))
    with ChatServer() as server:
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        command = ("-m", *endpoint, "scenario=fraud", "dataset.limit=1", "image_mode=typo,sd")
        done = mmsb(*command)
        again = mmsb(*command)
    assert (done.returncode, again.returncode) == (0, 0), done.stderr
    assert (done.stdout + done.stderr).count("python -m mmsb.ui") == 1
    for noise in ("alembic", "INFO", "Warning", "Traceback", "🏃"):
        assert noise not in done.stderr
    runs = logged(tmp_path / "outputs")
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert parent.info.run_name.startswith("sweep 20")
    assert [run.info.run_name for run in children] == ["typo", "sd"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.data.metrics["calls"] == len(server.requests) - 1  # without the one that sees whether it answers
    heading, _, *lines = parent.data.tags["mlflow.note.content"].splitlines()
    assert heading.startswith("| image_mode | ASR average % |")
    assert [line.split(" | ")[0] for line in lines] == ["| typo", "| sd"]
    previews = [
        {trace.info.request_preview for trace in traced(tmp_path / "outputs", run).values()} for run in children
    ]
    assert previews[0] == previews[1]
    pages = Serving(tracker=MLflow(output_dir=tmp_path / "outputs")).pages()
    (first, second) = (run.info.run_id for run in children)
    assert pages[1][1].endswith(f"?selectedRunUuid={first}&compareToRunUuid={second}")


def test_results_do_not_change_by_a_byte_and_calls_stand_beside_them(mmsb: Command, tmp_path: Path) -> None:
    with ChatServer() as server:
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        command = (*endpoint, "scenario=fraud", "dataset.limit=2", "tracker=none", "defense=ecso")
        for _ in range(2):
            assert mmsb(*command).returncode == 0
    first, second = sorted((tmp_path / "outputs").glob("runs/*"))
    assert (first / FILE).read_bytes() == (second / FILE).read_bytes()
    for folder in (first, second):
        with CallsOf(folder) as calls:
            for row in SavedRun.open(folder).rows():
                found = calls.of(row["id"])
                assert sum(call["counted"] and call["stage"] == "answer" for call in found) == row["calls"]
                assert all(call["started"] <= call["ended"] for call in found)
        assert not list(folder.glob(".calls*"))


LOGGING = """
import sys
from pathlib import Path
from tests.test_tracker import MLflow, asked, finished_run
folder, name = Path(sys.argv[1]), sys.argv[2]
assert MLflow(output_dir=folder, experiment=name).log(finished_run(folder / name)[0], asked())
"""


def test_processes_that_start_at_once_share_a_fresh_store_beside_one_whose_making_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SHARED)  # theirs takes its time: no copy
    killed_maker(tmp_path)
    processes = [Fork(["-c", LOGGING, str(tmp_path), name]) for name in ("one", "another")]
    for process in processes:
        assert process.wait(240) == 0, process.err
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        assert store.execute("SELECT status FROM runs").fetchall() == [("FINISHED",)] * 2
        assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not list(tmp_path.glob(".mlflow.db.new*"))


# In the place of MLflow's, which takes half a minute to start.
SERVER = """
import http.server, sys

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Healthy).serve_forever()
"""

HOLDER = """
import sys, time
from pathlib import Path
from mmsb.ui.serving import serving
from mmsb.tracker.mlflow_store import StorePlace

with serving(StorePlace(Path("outputs"), None), int(sys.argv[1])):
    print("serves", flush=True)
    time.sleep(600)
"""


def test_the_server_of_the_ui_ends_with_the_command_however_that_ends(tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow/__main__.py").write_text(SERVER)  # where `-m` looks first
    (tmp_path / "mlflow/__init__.py").touch()  # a folder without it comes after every package
    with Fork(["-c", HOLDER, str(port := free_port())], tmp_path) as process:
        while "serves" not in process.out:
            assert process.poll() is None, process.err
            time.sleep(0.02)
        assert taken(port)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        ends = time.monotonic() + 60
        while taken(port) and time.monotonic() < ends:
            time.sleep(0.02)
    assert not taken(port)


# It kills itself in the middle of the migrations: a killer beside it might come too late on a busy machine.
MAKER = """
import os, signal, sys, threading, time
from pathlib import Path
from mmsb.tracker.mlflow_store import DRAFT, StorePlace

folder = Path(sys.argv[1])

def kill():
    while not (folder / DRAFT).exists():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill, daemon=True).start()
with StorePlace(folder, None).opened():
    pass
"""


def killed_maker(folder: Path) -> None:
    """Leave behind what a process leaves that is killed while it makes the store."""
    maker = Fork(["-c", MAKER, str(folder)])
    assert maker.wait(240) == -signal.SIGKILL, maker.err
    assert not (folder / "mlflow.db").exists()
    assert (folder / mlflow_store.DRAFT).exists()


def test_a_network_drive_is_known_by_its_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(mlflow_store, "MOUNTS", mounts)
    assert mlflow_store.on_shared_disk(tmp_path / "outputs")
    assert not mlflow_store.on_shared_disk(Path("/usr"))


def test_a_store_that_cannot_be_written_leaves_the_results_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "outputs" / "mlflow.db").mkdir(parents=True)  # in the way of the file
    run, _ = finished_run(tmp_path / "run")
    with pytest.raises(TrackingError, match=r"python -m mmsb\.log run=") as caught:
        MLflow(output_dir=tmp_path / "outputs").log(run, asked())
    assert str(run.folder) in caught.value.remedy
    assert (run.folder / FILE).is_file()


def test_what_a_database_says_is_shown_and_not_what_sqlalchemy_puts_above_it() -> None:
    said = (
        "(raised as a result of autoflush)\n(sqlite3.OperationalError) attempt to write a readonly database\n[SQL: a]"
    )
    assert mlflow_store.reason_of(ValueError(said)) == (
        "ValueError: (sqlite3.OperationalError) attempt to write a readonly database"
    )


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_sweep_that_cannot_be_recorded_says_so_at_its_start_and_its_end_and_not_for_each_run(
    mmsb: Command, tmp_path: Path, closed_port: int
) -> None:
    with ChatServer() as server:
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        uri = f"http://127.0.0.1:{closed_port}"
        sweep = ("scenario=fraud", "dataset.limit=1", "image_mode=text_only,typo,sd", "-m")
        done = mmsb(*endpoint, *sweep, MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0
    (folder,) = tmp_path.glob("outputs/sweeps/*")
    assert done.stderr.count("did not take it") == 2
    assert done.stderr.count(f"python -m mmsb.log run={folder};") == 2
    assert "not all of this sweep is recorded:" in done.stderr
    assert (folder / "unrecorded.txt").exists()
    assert mmsb(f"run={folder}", module="mmsb.log").returncode == 0
    assert not (folder / "unrecorded.txt").exists()
    assert Sweep(tmp_path / "full", "", "").miss(TrackingError("no space left"))  # where no note can be left: said


def test_an_unreachable_server_costs_neither_results_nor_the_exit_code(
    mmsb: Command, tmp_path: Path, closed_port: int
) -> None:
    uri = f"http://me:hidden-word@127.0.0.1:{closed_port}"
    with ChatServer() as server:
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        done = mmsb(*endpoint, "scenario=fraud", "dataset.limit=1", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0
    assert f"error: MLflow at http://127.0.0.1:{closed_port} did not take it" in done.stderr
    assert "python -m mmsb.log run=" in done.stderr
    assert "Traceback" not in done.stderr
    (results,) = (tmp_path / "outputs").glob(f"runs/*/{FILE}")
    assert results.read_text().count("\n") == 1
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hidden-word" not in path.read_bytes()
    assert "hidden-word" not in done.stdout + done.stderr


def test_a_server_that_never_answers_is_asked_once_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_store, "ANSWERS_WITHIN", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackingError, match="no answer within"):
            MLflow(output_dir=tmp_path, uri=uri).log(finished_run(tmp_path / "run")[0], asked())
        silent.accept()[0].close()
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):  # MLflow's own client, which waits for minutes, has not come
            silent.accept()


class Dying(http.server.BaseHTTPRequestHandler):
    """Passes requests on to a server, up to a given one; from then on it answers nothing any more."""

    behind = ""
    dies_at = ""  # the end of a path
    left = 0  # such requests that are still passed on

    def do_GET(self) -> None:
        self.passed_on()

    def do_POST(self) -> None:
        self.passed_on()

    def do_PUT(self) -> None:
        self.passed_on()

    def do_PATCH(self) -> None:
        self.passed_on()

    def passed_on(self) -> None:
        import requests

        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).left -= self.path.endswith(self.dies_at)
        if type(self).left < 0:
            self.close_connection = True
            return
        reply = requests.request(
            self.command, self.behind + self.path, data=body, headers=dict(self.headers), timeout=60
        )
        self.send_response(reply.status_code)
        self.send_header("Content-Type", reply.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def passing_on(behind: str) -> Iterator[str]:
    Dying.behind = behind
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dying) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_a_server_that_dies_in_the_middle_costs_a_message_and_the_rest_is_logged_later(
    tmp_path: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(sys, "executable", python())  # which the server is started by, and its worker
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # by processes that watch who began them
    run, _ = finished_run(tmp_path)
    MLflow(output_dir=output_dir, experiment="made", traces="none").log(run, asked())
    with serving(StorePlace(output_dir, None), port := free_port()), passing_on(f"http://127.0.0.1:{port}") as uri:
        tracker = MLflow(output_dir=tmp_path, uri=uri, experiment="server")
        for path, left, status in (("/runs/log-batch", 0, "RUNNING"), ("/mlflow/traces", 2, "FINISHED")):
            Dying.dies_at, Dying.left = path, left
            with pytest.raises(TrackingError, match="did not take it"):
                tracker.log(run, asked())
            (cut,) = logged(output_dir, "server")
            assert cut.info.status == status
        assert cut.data.tags["mmsb.traces"].startswith("not all written")
        Dying.left = sys.maxsize
        line = tracker.log(run, asked())
    (found,) = logged(output_dir, "server")
    assert (found.info.run_id, found.info.status, found.data.tags["mmsb.traces"]) == (cut.info.run_id, "FINISHED", "5")
    assert len(traced(output_dir, found)) == 5
    assert line == f"look at it: {uri}/#/experiments/{found.info.experiment_id}/runs?viewStateShareKey=mmsb"
    assert "View run" not in capsys.readouterr().out  # what is told is one line, at the end


FOLLOWED = """
import sys, time
from pathlib import Path
from mmsb.tracker import live
from tests.test_tracker import running, asked, ANSWERS, verdict_on
from mmsb.types import Result
live.EVERY = 0.1
folder = Path(sys.argv[1])
with live.following(running(folder), 500, 0.01, {"uri": None, "experiment": "live"}) as told:
    while True:
        told(Result(asked()[1], ANSWERS[1], verdict_on(ANSWERS[1])))
        time.sleep(0.1)
"""


def running(folder: Path) -> Run:
    """A run that has begun; its store lies beside its folder."""
    return Run("live", folder, {"model": "m"}, {"output_dir": str(folder.parent), "dataset": {}, "scenario": {}})


def test_a_long_run_shows_while_it_goes_on(tmp_path: Path, output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 0.1)
    monkeypatch.setattr(sys, "executable", python())  # of the process beside; the next test's begins with nothing
    MLflow(output_dir=output_dir, experiment="live", traces="none").log(finished_run(tmp_path / "x")[0], asked())
    with following(running(output_dir / "ends"), 500, 0.01, {"uri": None, "experiment": "live"}) as told:
        found = seen(
            output_dir,
            "ends",
            lambda run: "micro ASR" in run.data.metrics,
            meanwhile=lambda: told(Result(asked()[1], ANSWERS[1], verdict_on(ANSWERS[1]))),
        )
    assert (found.info.status, found.data.metrics["micro ASR"]) == ("RUNNING", 1.0)
    assert found.data.metrics["n"] >= 1
    assert "of 500 samples" in found.data.tags["mlflow.note.content"]
    assert seen(output_dir, "ends", lambda run: True).info.status == "RUNNING"  # who logs the results ends it


def test_a_long_run_that_is_killed_is_marked(tmp_path: Path, output_dir: Path) -> None:
    MLflow(output_dir=output_dir, experiment="live", traces="none").log(finished_run(tmp_path / "x")[0], asked())
    with Fork(["-c", FOLLOWED, str(output_dir / "killed")]) as process:
        assert seen(output_dir, "killed", lambda run: "micro ASR" in run.data.metrics).info.status == "RUNNING"
        process.kill()
    assert seen(output_dir, "killed", lambda run: run.info.status != "RUNNING").info.status == "KILLED"


def seen(output_dir: Path, name: str, wanted: Any, meanwhile: Callable[[], None] = lambda: None) -> Any:
    """The record of a folder, once it is as wanted."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        meanwhile()
        for run in logged(output_dir, "live"):
            if run.data.tags["mmsb.folder"] == str(output_dir / name) and wanted(run):
                return run
        time.sleep(0.5)
    raise AssertionError(f"no such record of {name}")


def test_a_short_run_is_not_followed(tmp_path: Path) -> None:
    with following(running(tmp_path / "run"), 5, 30.0, {}) as told:
        for sample, outcome in zip(asked(), ANSWERS, strict=True):
            told(Result(sample, outcome, verdict_on(outcome)))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_recorded_later_by_the_command(mmsb: Command, tmp_path: Path, output_dir: Path) -> None:
    with ChatServer() as server:
        endpoint = ("model=openai", "model.name=m", f"model.base_url={server.url}", "model.api_key_env=null")
        done = mmsb(*endpoint, "scenario=fraud", "dataset.limit=2", "defense=blur", "tracker=none")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs").glob("runs/*")
    done = mmsb(f"run={folder}", f"tracker.output_dir={output_dir}", "tracker.experiment=later", module="mmsb.log")
    assert done.returncode == 0, done.stderr
    (found,) = logged(output_dir, "later")
    assert found.info.status == "FINISHED"
    traces = traced(output_dir, found)
    assert len(traces) == 2
    for trace in traces.values():
        assert {span.span_type for span in trace.data.spans if span.name == "answer"} == {"CHAT_MODEL"}
        pictures = [
            part["image_url"]["url"]
            for span in trace.data.spans
            if span.name in ("sample", "answer")
            for part in span.inputs["messages"][-1]["content"]
            if part["type"] == "image_url"
        ]
        assert len(pictures) == len(set(pictures)) == 2  # as the dataset has it, and blurred as it was sent
    artifacts = [path for path in output_dir.rglob("*") if found.info.run_id in path.parts]
    assert artifacts
    assert not [path for path in artifacts if path.stat().st_mode & 0o077]
    missing = mmsb(f"run={tmp_path}/none", module="mmsb.log")
    assert missing.returncode == 1
    assert "has no results.jsonl" in missing.stderr


def test_a_parameter_that_stands_in_a_file_is_given_once_it_is_known() -> None:
    config = {"defense": {"prompt": {"text": None, "text_file": "own.txt"}}, "protocol": "authors"}
    begun = form.parameters({"defense": "prompt"}, config)
    ended = form.parameters({"defense": "prompt"}, config, {"prompt": {"text": "Be kind.", "placement": "before"}})
    assert ended == begun | {"defense.prompt.text": "Be kind."}
    assert "defense.prompt.text" not in begun
