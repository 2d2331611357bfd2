from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmsb.calibrate.calibration import Calibration
from mmsb.config import build
from mmsb.errors import ConfigError, DataError
from mmsb.judge.authors_files import AuthorsFiles, export
from mmsb.judge.base import Judge
from mmsb.judge.finished import FinishedRun
from mmsb.judge.panel import Panel
from mmsb.judge.refusal import Refusal
from mmsb.judge.rejudge import Rejudge, rejudge
from mmsb.judge.rubric import Rubric
from mmsb.paths import conf_dir
from mmsb.results import read_rows
from mmsb.run import Run
from mmsb.tracker.none import NoTracker
from mmsb.types import Failure, Response
from tests.batching import BatchServer
from tests.composing import missing
from tests.conftest import Run as Command
from tests.conftest import run_in
from tests.judging import scripted
from tests.saved_runs import seal

SETTINGS = ("dataset.limit=2", "scenario=[fraud,legal_opinion]", "model.max_new_tokens=8", "tracker=none")
JUDGES = sorted(path.stem for path in (conf_dir() / "judge").glob("*.yaml"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_llava: Path) -> Path:
    """The folder of a real run."""
    folder = tmp_path_factory.mktemp("finished")
    done = run_in(folder, f"model.name_or_path={small_llava}", *SETTINGS)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "outputs" / "runs").iterdir()
    return run


@pytest.fixture
def edited(finished: Path, tmp_path: Path) -> Path:
    """The same run with answers of our own: a refusal, help, one that failed and one that a filter kept back."""
    folder = tmp_path / "edited"
    shutil.copytree(finished, folder)
    rows = list(read_rows(folder / "results.jsonl"))
    rows[0] |= {"response": "I can't help with that.", "label": "unsafe", "refusal": False}
    rows[1] |= {"response": "1. Print it.\n2. Sign it.", "label": "safe"}
    failed = {"outcome": "failed", "response": None, "cause": "timeout", "message": "slow", "label": "failed"}
    rows[2] = {
        **{
            key: rows[2][key]
            for key in rows[2]
            if key not in ("finish", "steps", "calls", "input_tokens", "output_tokens")
        },
        **failed,
    }
    rows[3] |= {"outcome": "filtered", "finish": "content_filter", "response": "", "label": "filtered"}
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = json.loads((folder / "run.json").read_text())
    return seal(folder, about)


def judge_again(folder: Path, judge: Judge, tmp_path: Path, **further: Any) -> list[dict[str, Any]]:
    settings = Rejudge(judge=judge, tracker=NoTracker(), run=folder, output_dir=tmp_path, **further)
    run = settings.of(Run("again", tmp_path / "again", {"judge": judge.name}, {}))
    rejudge(settings, run)
    settings.export_run(run)
    return list(read_rows(run.folder / "results.jsonl"))


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize(("command", "kind"), [("rejudge", Rejudge), ("calibrate", Calibration)])
def test_every_judge_builds_in_both_commands(name: str, command: str, kind: type, tmp_path: Path) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose(command, [f"judge={name}"])
    for key in missing(OmegaConf.to_container(config)):
        OmegaConf.update(config, key, str(tmp_path))
    assert build(config, kind).judge.name


def test_the_same_judge_gives_the_same_bytes_without_model_or_store(
    mmsb: Command, finished: Path, tmp_path: Path
) -> None:
    done = mmsb(f"run={finished}", "tracker=none", module="mmsb.judge")
    assert done.returncode == 0, done.stderr
    assert "The model was asked nothing" in done.stderr
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    assert (folder / "results.jsonl").read_bytes() == (finished / "results.jsonl").read_bytes()
    first, second = (json.loads((run / "run.json").read_text()) for run in (finished, folder))
    assert second["metrics"] == first["metrics"]
    assert second["record"]["model"] == first["record"]["model"]
    assert second["record"]["rejudged"]["run"] == str(finished)
    assert second["choices"]["image_mode"] == "sd_typo"
    again = mmsb(f"run={folder}", "judge=panel", "~judge.members.second", "tracker=none", module="mmsb.judge")
    assert "judge=panel needs two members" in again.stderr


def test_judging_again_through_batches_costs_half_too_and_keeps_no_budget(
    mmsb: Command, finished: Path, tmp_path: Path
) -> None:
    with BatchServer() as server:
        again = (f"run={finished}", "judge=rubric", "judge.model.name=gpt-4o", f"judge.model.base_url={server.url}")
        refused = mmsb(*again, "judge.model.batch=true", "budget.calls=9", "tracker=none", module="mmsb.judge")
        done = mmsb(*again, "judge.model.batch=true", "tracker=none", module="mmsb.judge")
        assert len(server.asked) > 0
    assert (refused.returncode, done.returncode) == (1, 0), done.stderr
    assert "a budget cannot be kept with batch=true" in refused.stderr
    # A judge that answers in another form leaves a table without rates; what it said tells why.
    [told] = [line for line in done.stdout.splitlines() if line.startswith("judge: its replies about ")]
    assert " of 4 answers are no verdict, e.g. " in told
    line = json.loads(next(tmp_path.glob("outputs/runs/*/bill.json")).read_text())["lines"]["gpt-4o"]
    assert line["dollars"] == pytest.approx((line["input_tokens"] * 2.5 + line["output_tokens"] * 10) / 2e6)


def test_another_judge_changes_the_verdicts_and_nothing_else(edited: Path, tmp_path: Path) -> None:
    before, after = list(read_rows(edited / "results.jsonl")), judge_again(edited, Refusal(), tmp_path)
    assert [row["label"] for row in before] == ["unsafe", "safe", "failed", "filtered"]
    assert [row["label"] for row in after] == ["safe", "unsafe", "failed", "filtered"]
    judging = ("label", "refusal", "flags", "score", "comprehended", "judge_reply", "judge_details")
    for old, new in zip(before, after, strict=True):
        assert {k: v for k, v in old.items() if k not in judging} == {k: v for k, v in new.items() if k not in judging}


def test_a_judge_that_looks_is_shown_the_runs_own_picture(finished: Path, tmp_path: Path) -> None:
    model = scripted("safe")
    rows = judge_again(finished, Rubric(model=model, show=("answer", "image")), tmp_path)
    shown = [prompt.image for prompt in model.asked]
    assert len(shown) == len([row for row in rows if row["label"] == "safe"]) > 0
    run = FinishedRun(finished)
    for picture in shown:
        assert picture is not None
        assert picture.load().width == 1024
        assert picture.identity in {row["image"] for row in rows}
    first = next(sample.prompt.image for sample, _ in run.answers())
    assert first is not None
    assert first.identity == first._real.identity  # type: ignore[attr-defined]


def test_a_picture_that_is_gone_is_an_error_only_for_who_looks(edited: Path, tmp_path: Path) -> None:
    about = json.loads((edited / "run.json").read_text())
    about["config"]["dataset"] |= {"_target_": "mmsb.dataset.mm_safetybench.MMSafetyBench", "root": str(tmp_path)}
    about["config"]["dataset"] |= {"name": "moved"}
    seal(edited, about)
    assert len(judge_again(edited, Refusal(), tmp_path)) == 4
    with pytest.raises(DataError, match="no folder processed_questions"):
        next(iter(FinishedRun(edited).answers()))[0].prompt.image.load()  # type: ignore[union-attr]


def test_the_verdicts_of_a_panel_are_compared_member_by_member(edited: Path, tmp_path: Path) -> None:
    members: dict[str, Judge] = {"words": Refusal(), "model": Rubric(model=scripted("unsafe"))}
    panel = Panel(members=members, vote="any")
    judge_again(edited, panel, tmp_path)
    report = Calibration(judge=panel, run=tmp_path / "again", output_dir=tmp_path).report()
    assert set(report.members) == {"words and model", "alpha"}


# ---- the authors' files ------------------------------------------------------------------------------------------


def test_an_exported_run_has_the_authors_fields_verdicts_and_rates(edited: Path, tmp_path: Path) -> None:
    judge_again(edited, Refusal(), tmp_path, export=tmp_path / "theirs", export_model="ours")
    fraud = json.loads((tmp_path / "theirs/questions_with_answers/06-Fraud.json").read_text())
    assert fraud["0"]["Rephrased Question(SD)"].startswith("The image shows")
    assert fraud["0"]["ans"] == {"ours": {"text": "I can't help with that.", "is_safe(gpt)": "safe"}}
    rates = json.loads((tmp_path / "theirs/eval_results/06-Fraud.json").read_text())
    assert rates == {"ours": {"safe": 1, "unsafe": 1, "attack_rate": 0.5}}
    legal = json.loads((tmp_path / "theirs/questions_with_answers/10-Legal_Opinion.json").read_text())
    assert [record["ans"] for record in legal.values()] == [{}, {"ours": {"text": ""}}]
    assert json.loads((tmp_path / "theirs/eval_results/10-Legal_Opinion.json").read_text()) == {}


def test_a_second_model_joins_the_first_in_the_same_files(edited: Path, tmp_path: Path) -> None:
    rows, run = list(read_rows(edited / "results.jsonl")), FinishedRun(edited)
    assert export(rows, run, tmp_path, "one") == 2
    assert export([{**row, "repeat": 1} for row in rows], run, tmp_path, "two") == 2
    fraud = json.loads((tmp_path / "questions_with_answers/06-Fraud.json").read_text())
    assert list(fraud["1"]["ans"]) == ["one", "two #1"]
    assert list(json.loads((tmp_path / "eval_results/06-Fraud.json").read_text())) == ["one", "two #1"]
    with pytest.raises(ConfigError, match="holds answers of 2 models") as error:
        AuthorsFiles(tmp_path).name  # noqa: B018 - the property raises
    assert "answers_model=: one, two #1" in error.value.remedy


def test_a_rate_of_an_earlier_export_does_not_outlive_its_verdicts(edited: Path, tmp_path: Path) -> None:
    rows, run = list(read_rows(edited / "results.jsonl")), FinishedRun(edited)
    export(rows, run, tmp_path, "one")
    export(rows, run, tmp_path, "two")
    export([{**row, "label": "unparsed"} for row in rows], run, tmp_path, "one")
    rates = tmp_path / "eval_results/06-Fraud.json"
    assert list(json.loads(rates.read_text())) == ["two"]
    rates.write_text("[]")
    with pytest.raises(DataError, match="holds a list"):
        export(rows, run, tmp_path, "one")


def test_answers_made_elsewhere_are_judged_here(mmsb: Command, edited: Path, tmp_path: Path) -> None:
    export(read_rows(edited / "results.jsonl"), FinishedRun(edited), tmp_path / "theirs", "elsewhere")
    done = mmsb("answers=theirs", "export=back", "tracker=none", module="mmsb.judge")
    assert done.returncode == 0, done.stderr
    assert "samples without an answer, in no rate: 1" in done.stderr
    assert "authors' format: back (2 samples have no verdict there)" in done.stdout
    (judged,) = (tmp_path / "outputs/runs").iterdir()
    page = mmsb(f"runs=[{judged},{edited}]", "into=page", "figures=[svg]", module="mmsb.report")
    assert page.returncode == 0, page.stderr
    with pytest.raises(DataError, match="has no dataset: it is of answers that were made elsewhere"):
        list(FinishedRun(judged).answers())
    back, theirs = (
        json.loads((tmp_path / name / "questions_with_answers/06-Fraud.json").read_text())
        for name in ("back", "theirs")
    )
    assert [back[n]["ans"]["elsewhere"]["is_safe(gpt)"] for n in "01"] == ["safe", "unsafe"]
    assert {n: record["ans"]["elsewhere"]["text"] for n, record in back.items()} == {
        n: record["ans"]["elsewhere"]["text"] for n, record in theirs.items()
    }


def test_a_run_is_not_overwritten_by_its_own_judging(mmsb: Command, edited: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in edited.iterdir()}
    done = mmsb(f"run={edited}", "tracker=none", f"hydra.run.dir={edited}", module="mmsb.judge")
    assert done.returncode == 1
    assert "would be overwritten" in done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in edited.iterdir()} == before


def test_what_a_run_recorded_is_data_and_reads_no_environment(edited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_A_TEST", "demo")
    about = json.loads((edited / "run.json").read_text())
    about["config"]["dataset"]["name"] = "${oc.env:SECRET_OF_A_TEST}"
    seal(edited, about)
    with pytest.raises(ConfigError, match=r"dataset.name='\$\{oc.env:SECRET_OF_A_TEST\}'"):
        list(FinishedRun(edited).answers())


def test_a_row_of_a_scenario_that_is_nowhere_is_an_error(edited: Path) -> None:
    lines = (edited / "results.jsonl").read_bytes().replace(b'"scenario": "fraud"', b'"scenario": "nowhere"', 1)
    (edited / "results.jsonl").write_bytes(lines)
    about = json.loads((edited / "run.json").read_text())
    seal(edited, about)
    with pytest.raises(DataError, match="of the scenario nowhere, which"):
        list(FinishedRun(edited).answers())


def test_records_as_in_the_authors_readme_are_read(tmp_path: Path) -> None:
    record = {
        "Question": "How?",
        "Rephrased Question": "Do this.",
        "ans": {"a": {"text": "No."}, "b": {"text": "Yes."}},
    }
    (tmp_path / "13-Gov_Decision.json").write_text(json.dumps({"10": record, "9": {**record, "ans": {"b": record}}}))
    with pytest.raises(DataError, match="does not hold question records"):
        list(AuthorsFiles(tmp_path, "a").answers())
    (tmp_path / "13-Gov_Decision.json").write_text(json.dumps({"10": record, "9": {**record, "ans": {}}}))
    (first, missing), (second, answered) = AuthorsFiles(tmp_path, "a").answers()
    assert (first.id, second.prompt.text) == ("13-Gov_Decision/9/a", "Do this.")
    assert isinstance(missing, Failure)
    assert answered == Response("No.")
    with pytest.raises(ConfigError, match="no answers of c"):
        AuthorsFiles(tmp_path, "c").name  # noqa: B018 - the property raises


def test_one_source_of_answers_must_be_named(tmp_path: Path) -> None:
    none = Rejudge(judge=Refusal(), tracker=NoTracker())
    for settings in (none, replace(none, run=tmp_path, answers=tmp_path)):
        with pytest.raises(ConfigError, match="give either run= or answers="):
            settings.finished  # noqa: B018 - the property raises
    with pytest.raises(DataError, match=r"has no results\.jsonl"):
        FinishedRun(tmp_path).about  # noqa: B018 - the property raises
