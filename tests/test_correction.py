"""Rates corrected for a judge's errors: published values, brute force, simulated truth, a run of known truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from mmsb.calibrate.calibration import Calibration
from mmsb.calibrate.report import save as save_report
from mmsb.calibrate.tables import print_report
from mmsb.errors import ConfigError, DataError
from mmsb.judge.refusal import Refusal
from mmsb.metrics.agreement import Agreement, agreement
from mmsb.metrics.likelihood import Stratum, interval
from mmsb.metrics.misclassification import fieller, from_other_labels, shares, together
from mmsb.metrics.rates import Rate
from mmsb.metrics.two_phase import Unit, from_own_labels, labels_needed
from mmsb.results import read_rows
from mmsb.review.session import Review
from mmsb.scenario import official_scenarios
from tests.saved_runs import row, save
from tests.test_calibrate import judge_with, table

# ---- labels of other answers -------------------------------------------------------------------------------------


def test_a_prevalence_is_corrected_as_in_the_manual_of_epir() -> None:
    """epi.prev (R package epiR): 23 of 150 cows positive, sensitivity 96 %, specificity 89 %: truly 5.1 %."""
    found = from_other_labels({"all": [[1.0] * 23 + [0.0] * 127]}, {"all": judge_with(0.96, 0.89)})
    assert found is not None
    assert found.value.value == pytest.approx(0.051, abs=0.0005)


def test_the_ends_are_where_the_judges_errors_no_longer_explain_what_was_observed() -> None:
    observed, found, alarms = Rate(0.4, 0.35, 0.46, 0), Rate(0.9, 0.82, 0.95, 0), Rate(0.2, 0.13, 0.3, 0)

    def room(x: float, drift: float, side: int) -> float:
        gap = observed.value - x * found.value - (1 - x) * alarms.value
        here, there = ("high", "low") if side > 0 else ("low", "high")
        parts = ((observed, here, 1), (found, there, x), (alarms, there, 1 - x))
        doubts = [weight * (getattr(share, end) - share.value) for share, end, weight in parts]
        return float(np.hypot.reduce(doubts) + drift - abs(gap))

    for drift in (0.0, 0.05, 0.1):
        centre, low, high = fieller(observed, found, alarms, drift)
        assert centre == pytest.approx(0.2 / 0.7)
        assert high == pytest.approx(brentq(room, centre, 1, (drift, 1)))
        assert low == pytest.approx(brentq(room, -1, centre, (drift, -1)))


def test_a_rate_below_what_the_judges_errors_explain_is_clipped_and_says_so() -> None:
    found = from_other_labels({"harm": [[1.0] * 4 + [0.0] * 146]}, {"harm": judge_with(0.9, 0.9)})
    assert found is not None
    assert found.unclipped < 0
    assert (found.value.value, found.value.low) == (0.0, 0.0)
    assert found.value.high > 0  # no interval without width
    assert found.observed == pytest.approx(4 / 150)


@pytest.mark.parametrize(("seen", "errors"), [(0.0, (0.9, 0.7)), (1.0, (0.7, 0.9))], ids=["none", "all"])
def test_where_every_verdict_is_the_same_the_corrected_rate_is_not_certain(
    seen: float, errors: tuple[float, float]
) -> None:
    found = from_other_labels({"harm": [[seen] * 8, [seen] * 8]}, {"harm": judge_with(*errors)})
    assert found is not None
    assert found.value.value == found.observed == seen
    assert found.value.high - found.value.low > 0.1


@pytest.mark.parametrize("errors", [judge_with(0.5, 0.5), judge_with(0.2, 0.3), agreement(table(9, 1, 0, 0))])
def test_a_judge_no_better_than_chance_corrects_nothing(errors: Agreement) -> None:
    assert from_other_labels({"harm": [[0.0, 1.0]]}, {"harm": errors}) is None
    assert from_other_labels({"harm": [[0.0, 1.0]]}, {}) is None


def test_few_labels_leave_everything_open() -> None:
    found = from_other_labels({"harm": [[0.0, 1.0] * 50]}, {"harm": agreement(table(2, 1, 1, 1))})
    assert found is not None
    assert (found.value.low, found.value.high) == (0.0, 1.0)


def test_each_group_is_corrected_by_its_own_errors() -> None:
    rated = [("fraud", str(n), float(n < 20)) for n in range(100)]
    rated += [("legal_opinion", str(n), float(n < 80)) for n in range(100)]
    strata = shares({"fraud": "harm", "legal_opinion": "policy"}, rated)
    errors = {"harm": judge_with(1.0, 0.9), "policy": judge_with(0.8, 1.0)}
    harm, macro = from_other_labels({"harm": strata["harm"]}, errors), from_other_labels(strata, errors)
    assert harm is not None
    assert macro is not None
    assert harm.value.value == pytest.approx(1 / 9)
    assert macro.unclipped == pytest.approx((1 / 9 + 1) / 2)
    assert macro.observed == pytest.approx(0.5)
    wider = from_other_labels(strata, errors, 0.1)
    assert wider is not None
    assert wider.value.value == macro.value.value
    assert wider.value.low < macro.value.low - 0.05


# ---- labels of the run -------------------------------------------------------------------------------------------


def units(*kinds: tuple[str, float | None, Any, int], chance: float = 1.0) -> list[Unit]:
    return [
        Unit(scenario, "harm", f"{scenario}{number}{n}", judged, label, chance if label else 1.0)
        for number, (scenario, judged, label, count) in enumerate(kinds)
        for n in range(count)
    ]


def test_a_run_that_is_labelled_whole_has_the_labels_rate_whatever_the_judge_said() -> None:
    found = from_own_labels(
        units(("fraud", 1.0, (1.0, 1.0), 10), ("fraud", 1.0, (0.0, 0.0), 30), ("sex", 0.0, (1, 1), 5))
    )
    assert found is not None
    assert found.value.value == pytest.approx((10 / 40 + 1) / 2)
    assert found.observed == pytest.approx(0.5)
    assert found.value.n == 45


def test_labels_stand_for_the_answers_of_their_verdict() -> None:
    """By hand: 40 of 100 judged unsafe, 8 of 10 labelled ones are; of the other 60, 2 of 10."""
    kinds = [("fraud", 1.0, (1.0, 1.0), 8), ("fraud", 1.0, (0.0, 0.0), 2), ("fraud", 1.0, None, 30)]
    kinds += [("fraud", 0.0, (1.0, 1.0), 2), ("fraud", 0.0, (0.0, 0.0), 8), ("fraud", 0.0, None, 50)]
    run = [unit._replace(probability=0.25 if unit.judged else 1 / 6) for unit in units(*kinds)]
    found = from_own_labels(run)
    assert found is not None
    assert found.value.value == pytest.approx(0.4 * 0.8 + 0.6 * 0.2)
    low, high = interval([Stratum((1.0, 0.0), (8, 2), 0.4), Stratum((1.0, 0.0), (2, 8), 0.6)])
    assert found.from_labels == pytest.approx((high - low) / 2)
    assert found.from_run == pytest.approx(1.96 * (0.4 * 0.6 * 0.6**2 / 100) ** 0.5, rel=1e-3)
    assert found.value.high - 0.44 == pytest.approx(np.hypot(high - 0.44, found.from_run or 0))


def test_a_kind_of_answers_without_a_label_may_be_anything() -> None:
    run = units(("fraud", 1.0, (1.0, 1.0), 50), ("fraud", 0.0, None, 50))
    found = from_own_labels(run)
    assert found is not None
    assert found.unlabelled == pytest.approx(0.5)
    assert found.value.value == pytest.approx(0.5)
    assert found.value.high == 1.0
    assert found.value.low < 0.5
    assert from_own_labels(units(("fraud", 1.0, None, 5))) is None


def test_open_labels_count_against_both_ends() -> None:
    labelled = [("fraud", 1.0, (1.0, 1.0), 30), ("fraud", 1.0, (0.0, 0.0), 30)]
    known = from_own_labels(units(*labelled))
    half_open = from_own_labels(units(*labelled, ("fraud", 1.0, (0.0, 1.0), 20)))
    assert known is not None
    assert half_open is not None
    assert half_open.value.value == pytest.approx(0.5)
    assert known.value.value == pytest.approx(0.5)
    assert half_open.value.low < known.value.low - 0.05
    assert half_open.value.high > known.value.high + 0.05
    assert half_open.value.n == known.value.n == 60


def test_answers_that_were_all_skipped_say_that_nothing_is_known() -> None:
    found = from_own_labels(units(("fraud", 1.0, (0.0, 1.0), 20), ("fraud", 0.0, (0.0, 1.0), 20)))
    assert found is not None
    assert (found.value.low, found.value.high, found.unlabelled) == pytest.approx((0.0, 1.0, 1.0))


def test_a_draw_without_a_label_says_that_and_blames_no_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, labels = tmp_path / "run", tmp_path / "labels.jsonl"
    made_run(run, lambda _: 0.3, 1)
    Review(run=run, labels=labels, size=80, rater="ann").drawn()
    calibration = Calibration(run=run, labels=labels, output_dir=tmp_path)
    print_report(calibration.report(), calibration.file.draw)
    printed = " ".join(capsys.readouterr().out.split())
    assert "labelled yet" in printed
    assert "better than chance" not in printed


def test_repeats_of_a_question_are_one_observation() -> None:
    def run(repeats: int) -> Rate:
        some = [Unit("fraud", "harm", str(q), 1.0, (q % 2, q % 2)) for q in range(20) for _ in range(repeats)]
        found = from_own_labels(some)
        assert found is not None
        return found.value

    assert run(5).low == pytest.approx(run(1).low)
    assert run(5).high == pytest.approx(run(1).high)


def test_the_number_of_labels_that_are_wanted_brings_the_width_that_is_wanted() -> None:
    def half(labels: int) -> Any:
        kinds: list[tuple[str, float, Any, int]] = []
        for judged, right in ((1.0, 0.9), (0.0, 0.2)):
            count = labels // 2
            unsafe = round(count * right)
            kinds += [("fraud", judged, (1.0, 1.0), unsafe), ("fraud", judged, (0.0, 0.0), count - unsafe)]
            kinds += [("fraud", judged, None, 5000 - count)]
        found = from_own_labels(units(*kinds, chance=labels / 10_000))
        assert found is not None
        return found

    more = labels_needed(half(200), 0.02)
    assert more is not None
    reached = half(200 + more)
    assert (reached.value.high - reached.value.low) / 2 == pytest.approx(0.02, abs=0.002)
    assert labels_needed(half(200), 0.005) is None


# ---- a run of known truth, by a judge of known faults ------------------------------------------------------------


def made_run(folder: Path, rate: Callable[[str], float], seed: int) -> float:
    """Sixty questions a scenario, answers that tell what they are, and a judge of 88 % and 47 %; the true average."""
    draw, rows, truths = np.random.default_rng(seed), [], []
    for scenario in official_scenarios():
        unsafe = draw.random(60) < rate(scenario.group)
        truths.append(unsafe.mean())
        for number, is_unsafe in enumerate(unsafe):
            said = draw.random() < (0.88 if is_unsafe else 0.53)
            answer = f"{folder.name} {number}: {'helps' if is_unsafe else 'declines'}"
            rows.append(row(scenario.name, number, "unsafe" if said else "safe", answer=answer))
    save(folder, rows, record={"judge": {"judge": "refusal"}})
    return float(np.mean(truths))


def label_everything(session: Review) -> None:
    """As a rater without errors would."""
    with session.labels.open("ab") as file:
        for task in session.open(session.drawn()):
            session.store(file, task, "unsafe" if "helps" in task.row["response"] else "safe")


@pytest.mark.parametrize("by", ["random", "cells"])
def test_a_run_of_known_truth_with_a_bad_judge_is_drawn_labelled_corrected_and_compared(
    tmp_path: Path, by: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    first = made_run(before, {"harm": 0.3, "policy": 0.6}.__getitem__, 1)
    second = made_run(after, {"harm": 0.1, "policy": 0.3}.__getitem__, 2)
    labels = tmp_path / "labels.jsonl"
    label_everything(Review(run=before, other=after, labels=labels, by=by, rater="ann"))
    calibration = Calibration(run=before, other=after, labels=labels, output_dir=tmp_path)
    report = calibration.report()
    assert report.own
    for scopes, truth in ((report.asr, first), (report.other_asr, second), (report.difference, second - first)):
        macro = scopes["macro"]
        assert macro is not None
        assert macro.observed is not None
        assert macro.value.low <= truth <= macro.value.high
        assert abs(macro.value.value - truth) < 0.08
        assert macro.unlabelled == 0
    assert report.asr["macro"] is not None
    assert report.asr["macro"].observed is not None
    assert report.asr["macro"].observed > report.asr["macro"].value.high  # as judged it is wrong, and far off
    assert report.difference["macro"] is not None
    assert report.difference["macro"].value.high < 0  # the defense works, and is known to
    print_report(report)
    shown = capsys.readouterr().out.partition("Difference, other run minus run, in points")[2]
    assert "as judged %" not in shown
    assert re.search(r"macro\) │ +-\d+\.\d │ +-\d+\.\d \[-\d+\.\d, -\d+\.\d\]", shown)
    rise = replace(report, difference={"macro": replace(report.difference["macro"], observed=0.05)})
    print_report(rise)
    assert "+5.0 │" in capsys.readouterr().out
    sensitivity, specificity = report.scopes["all"].sensitivity, report.scopes["all"].specificity
    assert sensitivity is not None
    assert specificity is not None
    assert sensitivity.low < 0.88 < sensitivity.high
    assert specificity.low < 0.47 < specificity.high
    record = (calibration.runs, labels, calibration.fingerprint(), tmp_path / "calibrations")
    path = save_report(report, *record)
    assert path.name.startswith("before_after_refusal_labels_")
    assert save_report(report, *record) == path
    assert save_report(replace(report, open=1), *record) != path  # nothing is written over


def test_labels_of_another_run_or_of_changed_answers_are_refused(tmp_path: Path) -> None:
    before, after, labels = tmp_path / "before", tmp_path / "after", tmp_path / "labels.jsonl"
    made_run(before, lambda _: 0.3, 1)
    made_run(after, lambda _: 0.1, 2)
    label_everything(Review(run=before, labels=labels, size=80, rater="ann"))
    with pytest.raises(DataError, match=r"was drawn from run .* has other answers"):
        Calibration(run=after, labels=labels, output_dir=tmp_path).report()
    with pytest.raises(DataError, match="was drawn from one run: leave other= out"):
        Calibration(run=before, other=after, labels=labels, output_dir=tmp_path).report()
    with pytest.raises(ConfigError, match="a corrected difference needs labels that were drawn from both"):
        Calibration(run=before, other=after, external=True, labels=labels).report()
    with pytest.raises(ConfigError, match="another judge"):
        Calibration(judge=Refusal(profile="authors"), run=before, labels=labels, output_dir=tmp_path).report()
    again = tmp_path / "again"  # judged again by somebody else: the same answers, so the same labels
    rows = [{**old, "label": "safe"} for old in read_rows(before / "results.jsonl")]
    dataset = {"name": "demo", "samples": len(rows), "digest": ""}
    other = {"judge": {"judge": "other"}, "model": {}, "dataset": dataset, "totals": {}}
    save(again, rows, record=other, id="again")
    report = Calibration(run=again, labels=labels, output_dir=tmp_path).report()
    assert report.asr["macro"] is not None
    assert report.asr["macro"].observed == 0
    assert report.asr["macro"].value.low > 0.1
    tampered = labels.read_text().replace("before 7: declines", "before 7: helps", 1)
    labels.write_text(tampered)
    with pytest.raises(DataError, match=r"is no answer that was drawn|names another answer already"):
        Calibration(run=before, labels=labels, output_dir=tmp_path).report()
    rows[0]["response"] = "changed"
    name = json.loads(tampered.partition("\n")[0])["draw"]["runs"][0]
    save(again, rows, record=other, id=name)
    with pytest.raises(DataError, match="the run has changed since"):
        Calibration(run=again, labels=labels, output_dir=tmp_path).report()


def test_what_groups_leave_open_adds_in_squares_and_what_may_drift_in_a_straight_line() -> None:
    alone = (0.5, 0.4, 0.7)
    assert together([(1.0, alone, alone)]) == pytest.approx(alone)
    both = [(0.5, alone, alone), (0.5, (0.3, 0.2, 0.4), (0.3, 0.1, 0.6))]
    value, low, high = together(both)
    assert value == pytest.approx(0.4)
    assert low == pytest.approx(0.4 - (0.05**2 + 0.05**2) ** 0.5 - 0.5 * 0.1)
    assert high == pytest.approx(0.4 + (0.1**2 + 0.05**2) ** 0.5 + 0.5 * 0.2)
