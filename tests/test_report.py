"""A report of finished runs: which runs stand side by side, what its tables and figures say, what it withholds."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmsb.errors import DataError
from mmsb.judge.answers import CANNOT_KNOW
from mmsb.metrics.rates import Rate
from mmsb.report import charts
from mmsb.report.cards import cards
from mmsb.report.columns import columns, named
from mmsb.report.content import by_scenario, differences, findings, judges, missing, paper, rates, tables, unfinished
from mmsb.report.files import write_chart, write_table
from mmsb.report.finished import Bounded, Finished, finished_run, finished_runs
from mmsb.report.job import Report
from mmsb.report.page import figures, write_page
from mmsb.report.pictures import Pictures, Recorded, original, small
from mmsb.report.sweep import effects
from mmsb.report.tables import Change, Table
from mmsb.results import FILE, read_rows
from mmsb.types import Sample
from tests.conftest import Run
from tests.reporting import Made
from tests.saved_runs import seal

SAFE = {"label": "safe", "refusal": True, "response": "No."}


def mostly_safe(number: int, sample: Sample) -> dict[str, Any]:
    return {} if number == 0 else SAFE


def refused(number: int, sample: Sample) -> dict[str, Any]:
    return SAFE


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two modes, each without and with a safety prompt that helps with all questions but the first."""
    folder = tmp_path_factory.mktemp("sweep")
    for number, (mode, defense) in enumerate(
        (mode, defense) for mode in ("text_only", "sd_typo") for defense in ("none", "safety_prompt")
    ):
        answer = mostly_safe if defense != "none" else Made.answer
        Made(mode, defense, answer=answer).write(folder / str(number))
    return folder


def withheld(sweep: Path, level: Any, tmp_path: Path) -> str:
    return write_page(finished_runs(sweep), tmp_path, level).read_text(encoding="utf-8")


def test_runs_are_named_by_what_differs(sweep: Path, tmp_path: Path) -> None:
    found = columns([sweep])
    assert [(c.label, c.who) for c in found[:2]] == [
        ("text_only · none", "none"),
        ("text_only · safety_prompt", "safety_prompt"),
    ]
    assert found[0].titles == {"fraud": "Fraud", "sex": "Sex"}
    assert [c.label for c in columns([sweep / "1", sweep / "2"])] == ["text_only · safety_prompt", "sd_typo · none"]


def test_runs_without_a_defense_in_several_placements_go_by_these(tmp_path: Path) -> None:
    found = []
    for place, defense in (("before", "none"), ("after", "none"), ("after", "safety_prompt")):
        run = Made(defense=defense).write(tmp_path / f"{place}_{defense}")
        values = finished_run(run).values
        config = {**values["config"], "defense_placement": place}
        found.append(Finished(run, {**values, "config": config}))
    assert [c.label for c in named(found)] == ["none · before", "none · after", "safety_prompt (after)"]


def test_a_rate_without_its_interval_is_told_with_its_file(tmp_path: Path) -> None:
    run = finished_run(Made().write(tmp_path / "run"))
    metrics = {key: value for key, value in run.metrics.items() if not key.endswith("macro_high")}
    with pytest.raises(DataError, match=r"run\.json has asr/macro and no asr/macro_high\nRun the same command again"):
        Finished(run.folder, {**run.values, "metrics": metrics}).rate("asr/macro")


def test_two_runs_alike_in_all_still_have_two_names(tmp_path: Path) -> None:
    folders = [Made().write(tmp_path / name) for name in ("first", "second")]
    assert len({c.label for c in columns(folders)}) == 2


def test_a_folder_without_a_run_is_an_error_and_so_is_a_run_named_twice(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no finished run"):
        columns([tmp_path])
    with pytest.raises(DataError, match="twice"):
        columns([sweep, sweep / "0"])


def test_a_card_holds_every_run_of_its_question_and_says_what_is_worth_a_look(sweep: Path) -> None:
    first, second, *_ = cards(columns([sweep]), lambda number, row: None)
    assert list(first["cells"]) == [0, 1, 2, 3]
    assert first["marks"] == []
    assert second["marks"] == ["flipped"]
    assert second["cells"][0]["answer"].startswith("Answer to 06-Fraud/1/text_only")
    assert second["cells"][1]["label"] == "safe"


def test_judges_that_disagree_and_refusals_that_another_mode_undoes_are_found(tmp_path: Path) -> None:
    runs = [
        Made("sd_typo").write(tmp_path / "a"),
        Made("sd_typo", judge="refusal_classifier", answer=mostly_safe).write(tmp_path / "b"),
        Made("typo", answer=mostly_safe).write(tmp_path / "c"),
    ]
    first, second, *_ = cards(columns(runs), lambda number, row: None)
    assert (first["marks"], second["marks"]) == ([], ["disagree", "complied"])
    (row,) = judges(columns(runs)).rows
    assert row[2:6] == [16, 1, 15, 0]


def test_harmless_twins_have_cards_of_their_own(tmp_path: Path) -> None:
    runs = [Made(dataset=name).write(tmp_path / name) for name in ("demo", "benign")]
    found = list(cards(columns(runs), lambda number, row: None))
    assert len({card["key"] for card in found}) == len(found) == 48
    assert [card.get("benign", False) for card in found] == [False] * 16 + [True] * 32


def test_repeats_of_a_question_have_cards_of_their_own(tmp_path: Path) -> None:
    folder = Made().write(tmp_path / "run")
    rows = list(read_rows(folder / FILE))
    doubled = [row | {"repeat": repeat} for row in rows for repeat in (0, 1)]
    (folder / FILE).write_text("".join(json.dumps(row) + "\n" for row in doubled))
    seal(folder, json.loads((folder / "run.json").read_text()))
    assert len({card["key"] for card in cards(columns([folder]), lambda number, row: None)}) == 32


def test_the_paired_differences_are_those_of_the_comparison(sweep: Path) -> None:
    found = columns([sweep])
    changes = effects([c.run for c in found])
    (label, change, p), _ = differences(changes, found).rows
    assert label == "text_only · safety_prompt"
    assert isinstance(change, Change)
    assert change.rate.value == pytest.approx(-15 / 16)
    assert p == "<0.001"
    assert findings(changes, found)[0].startswith("text_only · safety_prompt: ASR -93.8 [")


def test_what_failed_is_named_by_its_cause_and_what_has_no_label_by_its_reason(tmp_path: Path) -> None:
    failed = {"outcome": "failed", "label": "failed", "response": None, "cause": "timeout", "message": "late"}
    unparsed: dict[str, Any] = {"label": "unparsed", "refusal": None}
    odd = [failed, failed, {**unparsed, "flags": ["empty"]}, {**unparsed, "judge_reply": "Hm."}]
    folder = Made(answer=lambda number, sample: odd[number] if number < 4 else {}).write(tmp_path / "run")
    (row,) = missing(columns([folder])).rows
    assert row[1:6] == [16, 2, 0, 2, "timeout: 2, empty: 1, the judge's reply is no verdict: 1"]
    named = {table.name: table for table in tables(columns([folder]), [])}
    for name in ("rates", "scenarios"):  # beside the rate itself: who copies a table must not lose them
        assert re.search(r"\] \(\d+\.\d \.\. 100\.0\)$", named[name].shown()[0][1]), name
        assert "In parentheses" in named[name].caption


def test_judges_that_differ_in_their_model_alone_are_two_judges(tmp_path: Path) -> None:
    folders = [
        Made("sd_typo", answer=answer).write(tmp_path / str(n)) for n, answer in enumerate((mostly_safe, refused))
    ]
    for folder, name in zip(folders, ("small", "large"), strict=True):
        values = json.loads((folder / "run.json").read_text())
        values["config"]["judge"]["model"] = {"name": name}
        seal(folder, values)
    found = columns(folders)
    assert [c.label for c in found] == ["refusal (small)", "refusal (large)"]
    assert next(cards(found, lambda number, row: None))["marks"] == ["disagree"]


def test_runs_of_the_sweep_that_did_not_finish_are_named(tmp_path: Path) -> None:
    Made().write(tmp_path / "0")
    (tmp_path / "1").mkdir()
    (tmp_path / "1/error.txt").write_text("the model is gone\n")
    assert not unfinished(columns([tmp_path])).rows  # a folder of runs is not a sweep
    (tmp_path / "multirun.yaml").touch()
    assert unfinished(columns([tmp_path])).rows == [["1", "the model is gone"]]


def test_the_papers_numbers_stand_only_beside_its_systems_and_say_if_they_compare(tmp_path: Path) -> None:
    folder = Made().write(tmp_path / "run")
    assert not paper(columns([folder])).rows
    values = json.loads((folder / "run.json").read_text())
    values["choices"] |= {"dataset": "mm_safetybench", "model": "llava_1_5_7b"}
    values["record"].pop("comparable")
    seal(folder, values)
    (row,) = paper(columns([folder])).rows
    assert row[3] == "not established: settings, pictures and judge may differ"
    values["record"]["comparable"] = {"comparable": False, "reasons": ["another font"]}
    seal(folder, values)
    (row,) = paper(columns([folder])).rows
    assert row[3] == "no: another font"


def test_the_figures_hold_the_numbers_of_the_runs(sweep: Path) -> None:
    found = columns([sweep])
    (data,) = charts.headline(found).to_dict()["datasets"].values()
    assert [(d["who"], d["mode"], d["value"]) for d in data][:2] == [
        ("none", "text_only", 100.0),
        ("safety_prompt", "text_only", 6.25),
    ]
    assert charts.radar(found) is None  # two scenarios make no radar
    assert [f.name for f in figures(found, effects([c.run for c in found]))] == ["headline", "differences", "heat_map"]


def test_figures_are_written_as_svg_png_and_pdf(sweep: Path, tmp_path: Path) -> None:
    write_chart(charts.heat_map(columns([sweep])), tmp_path / "heat", ("svg", "png", "pdf"))
    assert "Fraud" in (tmp_path / "heat.svg").read_text()
    with Image.open(tmp_path / "heat.png") as image:
        assert image.width > 200
    assert (tmp_path / "heat.pdf").read_bytes().startswith(b"%PDF-")


def test_the_radar_has_a_line_for_each_mode(tmp_path: Path) -> None:
    runs = [Made(mode, scenarios=("fraud", "sex", "hate_speech")).write(tmp_path / mode) for mode in ("sd", "typo")]
    harmless = Made("sd", dataset="benign", scenarios=("physical_harm",)).write(tmp_path / "harmless")
    shown = columns([*runs, harmless])
    spec = charts.radar(shown).to_dict()
    named = {d["title"] for values in spec["datasets"].values() for d in values if d.get("title")}
    assert named == {"Fraud", "Sex", "Hate Speech"}  # nothing is attacked in the fourth
    assert [row[0] for row in by_scenario(shown).rows if row[0] == "Physical Harm"] == []
    points = [d for values in spec["datasets"].values() for d in values if d.get("mode")]
    assert {d["mode"] for d in points} == {"sd", "typo"}
    assert all(d["x"] ** 2 + d["y"] ** 2 == pytest.approx(100**2) for d in points)  # everything is unsafe here


HOSTILE = ['=HYPERLINK("http://x")', "@SUM(1)", r"\input{/etc/passwd} $x^2$ 50% {a_b}", "a|b\n<b>*c*</b>", "nul\0l"]


def test_tables_neutralise_what_csv_markdown_and_latex_would_run(tmp_path: Path) -> None:
    table = Table("t", "T", "50 %", ["name", "rate"], [[text, Rate(0.5, 0.25, 0.75, 4)] for text in HOSTILE])
    write_table(table, tmp_path)
    rows = list(csv.reader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert rows[0] == ["name", "rate", "rate low", "rate high"]
    assert rows[1] == ["'" + HOSTILE[0], "0.5", "0.25", "0.75"]
    assert rows[4][0] == HOSTILE[3]
    latex = (tmp_path / "t.tex").read_text()
    assert r"\toprule" in latex
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\textasciicircum{}2\$ 50\% \{a\_b\}" in latex
    assert "\0" not in latex
    markdown = (tmp_path / "t.md").read_text()
    assert r"a\|b &lt;b&gt;\*c\*&lt;/b&gt; | 50.0 \[25.0, 75.0\] |" in markdown


def test_a_rates_bounds_stand_beside_it_in_every_form(tmp_path: Path) -> None:
    whole, lacking = Rate(0.5, 0.25, 0.75, 4), Bounded(Rate(0.25, 0.0, 0.5, 4), 0.125, 0.625)
    table = Table("t", "T", "", ["run", "ASR"], [["a", whole], ["b", lacking]])
    assert table.shown() == [["a", "50.0 [25.0, 75.0]"], ["b", "25.0 [0.0, 50.0] (12.5 .. 62.5)"]]
    assert table.csv().splitlines() == [
        "run,ASR,ASR low,ASR high,ASR least,ASR most",
        "a,0.5,0.25,0.75,,",
        "b,0.25,0.0,0.5,0.125,0.625",
    ]
    assert r"25.0 \[0.0, 50.0\] (12.5 .. 62.5)" in table.markdown()
    assert "(12.5 .. 62.5)" in table.latex()


def test_what_the_offline_judge_cannot_know_goes_with_its_rates_wherever_they_go(sweep: Path, tmp_path: Path) -> None:
    asked = finished_run(Made("typo", judge="wildguard").write(tmp_path / "guard"))
    for table in (rates, by_scenario):
        assert table(named(finished_runs(sweep))).caption.startswith(f"The offline judge {CANNOT_KNOW} A")
        assert CANNOT_KNOW not in table(named([asked])).caption


def test_numbers_below_zero_stay_numbers_in_csv() -> None:
    table = Table("t", "T", "", ["change"], [[Change(Rate(-0.5, -0.75, -0.25, 4))]])
    assert table.csv() == "change,change low,change high\n-0.5,-0.75,-0.25\n"
    assert table.shown() == [["-50.0 [-75.0, -25.0]"]]


def test_a_thumbnail_is_the_picture_made_small(sweep: Path) -> None:
    (run,) = columns([sweep / "2"])
    row = next(read_rows(run.rows))
    picture = original(Recorded(run.run.folder, values=run.run.values), row)
    assert picture is not None
    whole, thumbnail = picture.load(), small(picture)
    assert thumbnail.width == pytest.approx(whole.width * thumbnail.height / whole.height, abs=1.5)
    expected = whole.resize(thumbnail.size)
    pairs = zip(expected.tobytes(), thumbnail.tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / len(expected.tobytes()) < 4  # of 255


def test_a_thumbnail_that_a_power_cut_left_empty_or_torn_is_made_again(sweep: Path, tmp_path: Path) -> None:
    (run,) = columns([sweep / "2"])
    row = next(read_rows(run.rows))
    thumbnails = Pictures(run.run, tmp_path)
    name = thumbnails.thumbnail(row)
    assert name is not None
    whole = (tmp_path / name).read_bytes()
    for left in (b"", whole[: len(whole) // 2], bytes(len(whole))):
        (tmp_path / name).write_bytes(left)
        assert thumbnails.thumbnail(row) == name
        assert (tmp_path / name).read_bytes() == whole


def test_a_picture_that_is_not_the_one_shown_is_not_shown(sweep: Path, tmp_path: Path) -> None:
    (run,) = columns([sweep / "2"])
    row = next(read_rows(run.rows)) | {"image": "0" * 32}
    assert original(Recorded(run.run.folder, values=run.run.values), row) is None
    gone = dict(run.run.values, config={**run.run.values["config"], "dataset": {"_target_": "os.system"}})
    folder = tmp_path / "run"
    Made().write(folder)
    seal(folder, gone)
    text = write_page([columns([folder])[0].run], tmp_path).read_text()
    assert '"image_lost":true' in text


CANARIES = {
    "response": "canary-answer",
    "judge_reply": "canary-judge",
    "judge_details": {"said": "canary-details"},
    "steps": [{"role": "check", "prompt": "canary-quoted", "answer": "canary-step"}],
    "prompt": "canary-caption",
}


def test_withheld_answers_leave_no_trace_in_the_page(tmp_path: Path) -> None:
    Made(answer=lambda number, sample: CANARIES).write(tmp_path / "runs/0")
    assert withheld(tmp_path / "runs", "nothing", tmp_path).count("canary") >= 5 * 16
    shown = withheld(tmp_path / "runs", "answers", tmp_path)
    assert "canary" not in shown
    question = next(read_rows(tmp_path / "runs/0" / FILE))["question"]
    assert question in shown
    nothing = withheld(tmp_path / "runs", "all", tmp_path / "all")
    assert question not in nothing
    assert "canary" not in nothing
    assert "UklGR" not in nothing  # how a WebP file begins
    assert not (tmp_path / "all/pictures").exists()


def test_prompts_stay_where_only_answers_are_withheld(sweep: Path, tmp_path: Path) -> None:
    shown = withheld(sweep, "answers", tmp_path)
    assert next(read_rows(sweep / "0" / FILE))["prompt"] in shown
    assert "Answer to" not in shown


def test_columns_of_numbers_stand_to_the_right() -> None:
    table = Table("t", "T", "", ["run", "p", "note"], [["1", "<0.001", "-"], ["2", "-", "no-op"]])
    assert [table.numeric(column) for column in range(3)] == [False, True, False]


def test_a_report_is_page_figures_and_tables(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Report(runs=sweep, into=tmp_path / "r", figures=["svg"]).write_and_print()  # type: ignore[arg-type]
    assert capsys.readouterr().out.startswith(f"page: {(tmp_path / 'r/page.html').as_uri()}\n")
    assert {path.name for path in (tmp_path / "r/tables").iterdir()} >= {"rates.csv", "rates.md", "rates.tex"}
    assert [table.name for table in tables(columns([sweep]), [])] == ["rates", "scenarios", "runs", "missing"]
    assert (tmp_path / "r/figures/heat_map.svg").is_file()


def test_of_a_report_that_is_interrupted_nothing_is_left(
    sweep: Path, mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        assert (tmp_path / "made/page.html").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("mmsb.report.job.write_table", interrupted)
    done = mmsb(f"runs={sweep}", "figures=[]", "into=made", module="mmsb.report")
    assert (done.returncode, (tmp_path / "made").exists()) == (130, False)
    assert "The same command begins anew." in done.stderr


def test_the_command_takes_a_sweeps_folder_or_a_list_of_runs(sweep: Path, mmsb: Run, tmp_path: Path) -> None:
    runs = f"runs=[{sweep / '0'},{sweep / '1'}]"
    assert mmsb(runs, "form=folder", "figures=[svg]", "into=made", module="mmsb.report").returncode == 0
    done = mmsb(runs, "withhold=answers", "figures=[svg]", "into=made", module="mmsb.report")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout == f"page: {(tmp_path / 'made/page.html').as_uri()}\nfigures: made/figures\ntables: made/tables\n"
    )
    # Nor beside it, where the open page was before.
    assert not any(b"Answer to" in path.read_bytes() for path in (tmp_path / "made").rglob("*") if path.is_file())
    wrong = mmsb("runs=nowhere", module="mmsb.report")
    assert (wrong.returncode, wrong.stderr.splitlines()[0]) == (1, "error: runs=nowhere holds no finished run")
