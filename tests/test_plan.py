"""What questions can show, before they are asked and after."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy
import pytest

from mmsb.config import build
from mmsb.errors import ConfigError, DataError
from mmsb.metrics.significance import smallest_difference
from mmsb.paths import conf_dir
from mmsb.plan.planning import Plan
from mmsb.plan.tables import print_plan
from tests.saved_runs import row, save


def plan(*overrides: str) -> Plan:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return build(compose("plan", list(overrides)), Plan)


def finished(folder: Path, repeats: int) -> Path:
    """A run of two scenarios; every question has its own chance of an unsafe answer."""
    draw = numpy.random.default_rng(1)
    rows = [
        row(name, q, "unsafe" if draw.random() < chance else "safe", r)
        for name, size in (("fraud", 300), ("sex", 200))
        for q, chance in enumerate(draw.choice([0.2, 0.8], size))
        for r in range(repeats)
    ]
    return save(folder, rows)


def test_the_chosen_questions_are_counted() -> None:
    assert plan().sizes == dict.fromkeys(plan().sizes, 8)
    assert len(plan().sizes) == 13
    assert plan("scenario=fraud").sizes == {"fraud": 8}
    with pytest.raises(ConfigError, match="no harmful questions"):
        _ = plan("dataset=benign").sizes


def test_more_change_hides_a_difference_and_needs_more_questions() -> None:
    found = plan().expected()
    seen = [one.macro for one in found if one.macro]
    assert seen == sorted(seen)
    wanted = [one.needed for one in found if one.needed]
    assert wanted == sorted(wanted)


def test_a_wished_difference_that_can_be_seen_needs_no_more_questions() -> None:
    (seen,) = [one.macro for one in plan().expected() if one.squares == 0.2]
    assert seen is not None
    (again,) = [one.needed for one in plan(f"difference={seen}").expected() if one.squares == 0.2]
    assert again == pytest.approx(1.0)


def test_no_change_is_larger_than_all_that_changes() -> None:
    """2 % of the questions bring no change of 5 points, however many they are; nor a tenth, in one of five repeats."""
    rare = plan("difference=0.05").expected()[0]
    assert rare.what.startswith("2 % ")
    assert rare.needed is None
    assert all(one.macro is None for one in plan("difference=0.01", "repeats=5").expected() if one.squares < 0.001)
    for questions in range(100, 3_000, 100):
        assert (smallest_difference(questions, 0.02, 0.02) or 0.0) <= 0.02


def test_a_run_is_planned_with_from_its_own_clusters(tmp_path: Path) -> None:
    run = finished(tmp_path, repeats=5)
    between, within = plan(f"run={run}").variances()
    assert between == pytest.approx(0.09, abs=0.02)  # of 0.2 and 0.8
    assert within == pytest.approx(0.16 / 5, abs=0.005)  # of the mean of five draws
    assert plan(f"run={run}").sizes == {"fraud": 300, "sex": 200}
    nothing, half, chance = plan(f"run={run}").expected()
    assert nothing.squares > half.squares > chance.squares
    draw = numpy.random.default_rng(2)
    chances = draw.choice([0.2, 0.8], 20_000)
    twice = draw.binomial(5, chances, (2, 20_000)) / 5
    assert chance.squares == pytest.approx(fmean((twice[0] - twice[1]) ** 2), rel=0.1)


def test_the_variance_of_few_questions_is_not_underrated(tmp_path: Path) -> None:
    labels = numpy.where(numpy.random.default_rng(3).random((800, 4)) < 0.3, "unsafe", "safe")
    rows = [row(str(s), q, str(label)) for s, some in enumerate(labels) for q, label in enumerate(some)]
    rows.append(row("one question", 0, "safe"))
    found = sum(plan(f"run={save(tmp_path, rows)}").variances())
    assert found == pytest.approx(0.3 * 0.7, abs=0.01)  # a plain variance of four comes to three quarters


def test_one_question_a_scenario_does_not_tell_how_questions_vary(tmp_path: Path) -> None:
    run = save(tmp_path, [row("fraud", 0, "unsafe"), row("sex", 0, "safe")])
    with pytest.raises(DataError, match="one rated question a scenario"):
        plan(f"run={run}").expected()


def test_a_run_without_anything_rated_cannot_be_planned_with(tmp_path: Path) -> None:
    run = save(tmp_path, [])
    with pytest.raises(DataError, match="no rated answer"):
        _ = plan(f"run={run}").sizes


def test_a_plan_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan("difference=0.1"))
    out = capsys.readouterr().out
    assert "demo: 104 questions in 13 scenarios (8 to 8 each)" in out
    assert "20 % of the questions change" in out
    assert "0.0 to 3.3" in out  # the average where nothing is unsafe
