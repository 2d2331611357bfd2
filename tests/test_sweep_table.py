"""The table of a sweep's runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsb.report.finished import Finished
from mmsb.report.sweep import print_comparison, told_apart


def test_runs_that_differ_in_the_same_settings_get_a_column_for_each() -> None:
    names = ["image_mode=typo defense=[input_guard,ecso]", "image_mode=sd defense=none"]
    assert told_apart(names) == (["image_mode", "defense"], [["typo", "[input_guard,ecso]"], ["sd", "none"]])


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
