"""The table of a sweep's runs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mmsb.budget import SWEEP
from mmsb.metrics.summary import Score, summarize
from mmsb.report.finished import Finished
from mmsb.report.sweep import print_comparison
from mmsb.run import Run, short_name, told_apart
from mmsb.scenario import official_scenarios
from mmsb.sweep import finish_sweep
from mmsb.terminal import print_summary
from tests.reporting import Made
from tests.saved_runs import seal


def test_runs_that_differ_in_the_same_settings_get_a_column_for_each() -> None:
    names = ["image_mode=typo defense=input_guard>ecso", "image_mode=sd defense=none"]
    assert told_apart(names) == (["image_mode", "defense"], [["typo", "input_guard > ecso"], ["sd", "none"]])


def test_runs_that_do_not_keep_their_names() -> None:
    names = ["image_mode=typo", "defense=none"]
    assert told_apart(names) == (["run"], [["image_mode=typo"], ["defense=none"]])
    assert told_apart(["model=tiny", "a name"])[0] == ["run"]


def test_missing_answers_and_left_out_scenarios_stand_beside_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    whole = {"asr/macro": 0.5, "asr/macro_low": 0.4, "asr/macro_high": 0.6} | dict.fromkeys(
        ("n/total", "n/answered"), 10
    )
    partial = whole | {"asr/macro_least": 0.25, "asr/macro_most": 0.75, "asr/macro_scenarios_left_out": 1}
    record = {"dataset": {"samples": 10}, "totals": {"calls": 10}}
    runs = [
        Finished(Path(), {"name": f"image_mode={name}", "metrics": metrics | {"n/unparsed": 0}, "record": record})
        for name, metrics in (("typo", whole), ("sd", partial))
    ]
    print_comparison(runs)
    out = " ".join(capsys.readouterr().out.split())
    assert "50.0 [40, 60] " in out
    assert "50.0 [40, 60]*" in out
    assert "25.0 .. 75.0" in out
    assert "*: over fewer scenarios" in out
    print_comparison(runs[:1])
    assert "fewer" not in capsys.readouterr().out


@pytest.mark.parametrize("width", [72, 80, 100])
def test_a_narrow_terminal_breaks_cells_and_cuts_nothing(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {"asr/macro": 1.0, "asr/macro_low": 0.65, "asr/macro_high": 1.0}
    rates |= {key.replace("macro", "harm"): value for key, value in rates.items()}
    metrics = rates | {"n/total": 10, "n/answered": 10, "n/unparsed": 0}
    record = {"dataset": {"samples": 10}, "totals": {"calls": 10}}
    name = "image_mode=sd_typo defense=safety_prompt scenario=political_lobbying"
    monkeypatch.setattr("mmsb.report.sweep.console", lambda: Console(width=width))
    print_comparison([Finished(Path(), {"name": name, "metrics": metrics, "record": record})])
    out = capsys.readouterr().out
    assert "…" not in out
    columns = zip(*(line.split("│") for line in out.splitlines() if line.startswith("│")), strict=True)
    whole = ["".join("".join(column).split()) for column in columns]
    assert whole[1:6] == ["sd_typo", "safety_prompt", "political_lobbying", "100.0[65,100]", "100.0[65,100]"]


def test_a_runs_table_breaks_no_interval_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios = official_scenarios()
    scores = [Score(one.id, str(number), "unsafe", number == 0) for one in scenarios for number in range(3)]
    totals = dict.fromkeys(("calls", "input_tokens", "output_tokens", "seconds"), 1)
    record = {"dataset": {"samples": 1}, "totals": totals, "comparable": {"comparable": True, "reasons": []}}
    for width, shown in ((80, "100.0 [27, 100]"), (140, "100.0 [27.3, 100.0]")):
        monkeypatch.setattr("mmsb.terminal.console", partial(Console, width=width))
        print_summary(Run("x", Path(), {}, {}, record), summarize(scores, scenarios))
        table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
        assert f"│ {shown} │" in next(line for line in table if "Fraud" in line)
        assert all(line.count("[") == line.count("]") for line in table)


def test_a_short_name_says_what_its_numbers_are() -> None:
    assert short_name("model=openai model.name=gpt-4o dataset.limit=5 typo") == "openai gpt-4o limit=5 typo"


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep whose runs are done, and that is about to end."""
    folder = tmp_path / "my sweep"  # which a shell must not take for two words
    for number, defense in enumerate(("none", "safety_prompt")):
        Made("text_only", defense).write(folder / str(number))
    monkeypatch.setenv(SWEEP, str(folder))
    return folder


def test_a_sweep_ends_with_its_page(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish_sweep() == 0
    assert f"page: {(swept / 'page.html').as_uri()}\nruns: {swept}\n" in capsys.readouterr().out
    assert "Answer to" in (swept / "page.html").read_text(encoding="utf-8")


def test_the_page_of_a_sweep_withholds_what_the_strictest_run_says(swept: Path) -> None:
    values = json.loads((swept / "1/run.json").read_text())
    values["config"]["withhold"] = "answers"
    seal(swept / "1", values)
    finish_sweep()
    assert "Answer to" not in (swept / "page.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_fails_no_sweep(
    swept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **more: Any) -> None:
        raise ValueError("no chart of this")

    monkeypatch.setattr("mmsb.report.page.write_page", broken)
    assert finish_sweep() == 0
    out, err = capsys.readouterr()
    assert f"runs: {swept}" in out
    assert "warning: no page could be written: ValueError: no chart of this" in err
    assert f"python -m mmsb.report 'runs={swept}' withhold=nothing" in err
