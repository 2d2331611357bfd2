"""The table of a sweep's runs."""

from __future__ import annotations

from mmsb.report.sweep import told_apart


def test_runs_that_differ_in_the_same_settings_get_a_column_for_each() -> None:
    names = ["image_mode=typo defense=[input_guard,ecso]", "image_mode=sd defense=none"]
    assert told_apart(names) == (["image_mode", "defense"], [["typo", "[input_guard,ecso]"], ["sd", "none"]])


def test_runs_that_do_not_keep_their_names() -> None:
    names = ["image_mode=typo", "defense=none"]
    assert told_apart(names) == (["run"], [["image_mode=typo"], ["defense=none"]])
    assert told_apart(["model=tiny", "a name"])[0] == ["run"]
