"""A judge against people, and what its errors do to a rate: published values, peer libraries, simulated truth."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from krippendorff import alpha as krippendorff_alpha
from sklearn.metrics import cohen_kappa_score, recall_score

from mmsb.calibrate.calibration import Calibration, members_of
from mmsb.errors import ConfigError, DataError
from mmsb.judge.base import Judge
from mmsb.judge.panel import Panel
from mmsb.judge.refusal import Refusal
from mmsb.labels.file import read_labels
from mmsb.metrics.agreement import Agreement, agreement, alpha, kappa, kappa_of_tables, pairwise
from tests.conftest import Run
from tests.endpoint import ChatServer
from tests.saved_runs import row, save

Pairs = list[tuple[str, str]]


def table(safe_safe: int, safe_unsafe: int, unsafe_safe: int, unsafe_unsafe: int) -> Pairs:
    counts = (safe_safe, safe_unsafe, unsafe_safe, unsafe_unsafe)
    kinds = [(one, other) for one in ("safe", "unsafe") for other in ("safe", "unsafe")]
    return [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]


def judge_with(sensitivity: float, specificity: float, n: int = 1000) -> Agreement:
    found, passed = round(n * sensitivity), round(n * specificity)
    return agreement(table(passed, n - passed, n - found, found))


# ---- agreement ---------------------------------------------------------------------------------------------------


def test_kappa_is_that_of_sim_and_wright_2005() -> None:
    """Physical Therapy 85(3): two clinicians, 39 patients, 22 and 11 on the diagonal, 2 and 4 off it: 0.67."""
    rate = kappa(table(22, 2, 4, 11))
    assert rate is not None
    assert rate.value == pytest.approx(0.67, abs=0.005)
    assert rate.low < 0.67 < rate.high


def test_alpha_is_that_of_krippendorff_2011() -> None:
    """Computing Krippendorff's Alpha-Reliability, section A: binary data, two observers, ten articles: 0.095."""
    meg, owen = "0100000010", "1110010000"
    names = {"0": "safe", "1": "unsafe"}
    raters = {who: {str(n): names[c] for n, c in enumerate(said)} for who, said in (("meg", meg), ("owen", owen))}
    rate = alpha(raters)
    assert rate is not None
    assert rate.value == pytest.approx(0.095, abs=0.0005)
    assert rate.n == 10


def test_kappas_are_those_of_scikit_learn() -> None:
    for counts in ((3, 1, 2, 8), (0, 5, 5, 0), (7, 0, 0, 1), (1, 1, 1, 1)):
        pairs = table(*counts)
        theirs = cohen_kappa_score([a for a, _ in pairs], [b for _, b in pairs])
        rate = kappa(pairs)
        assert rate is not None
        assert rate.value == pytest.approx(theirs)
    assert np.isnan(kappa_of_tables(np.array([[9, 0, 0, 0]]))[0])
    assert kappa(table(9, 0, 0, 0)) is None
    assert kappa([]) is None


def test_alphas_are_those_of_the_krippendorff_package_with_gaps_too() -> None:
    draw = np.random.default_rng(2)
    for gaps in (0.0, 0.3):
        truth = draw.random(40) < 0.4
        said = [[float(x) if draw.random() >= gaps else np.nan for x in truth ^ (draw.random(40) < 0.2)] for _ in "abc"]
        theirs = krippendorff_alpha(reliability_data=said, level_of_measurement="nominal")
        names = {0.0: "safe", 1.0: "unsafe"}
        ours = alpha(
            {str(r): {str(n): names[x] for n, x in enumerate(row) if x in names} for r, row in enumerate(said)}
        )
        assert ours is not None
        assert ours.value == pytest.approx(theirs)
        assert ours.low < ours.value < ours.high


def test_raters_who_never_disagreed_are_not_known_to_agree_always() -> None:
    first, again = kappa(table(10, 0, 0, 10)), kappa(table(10, 0, 0, 10))
    assert first == again  # no noise
    assert first is not None
    assert (first.value, first.high) == (1.0, 1.0)
    assert first.low < 0.9
    rate = alpha({who: {str(n): ("safe", "unsafe")[n % 2] for n in range(20)} for who in "abc"})
    assert rate is not None
    assert rate.value == 1.0
    assert rate.low < 0.95


def test_agreement_of_98_percent_can_be_no_better_than_chance() -> None:
    found = agreement(table(98, 1, 1, 0))
    assert found.accuracy is not None
    assert found.accuracy.value == 0.98
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(-0.01, abs=0.001)


def test_what_the_judge_could_not_tell_is_in_no_rate() -> None:
    found = agreement([*table(4, 1, 1, 4), ("safe", "unparsed"), ("unsafe", "failed"), ("unsafe", "unparsed")])
    assert found.unparsed == (1, 2)
    assert found.sensitivity is not None
    assert (found.sensitivity.value, found.sensitivity.n) == (0.8, 5)
    assert found.accuracy is not None
    assert found.accuracy.n == 10


def test_answers_drawn_with_unequal_chances_count_by_what_they_stand_for() -> None:
    pairs = [("unsafe", "unsafe")] * 20 + [("unsafe", "safe")] * 2 + [("safe", "safe")] * 20
    weights = [1.0] * 20 + [10.0] * 22
    found, plain = agreement(pairs, weights), agreement(pairs)
    assert found.sensitivity is not None
    assert plain.sensitivity is not None
    theirs = recall_score([t for t, _ in pairs], [s for _, s in pairs], pos_label="unsafe", sample_weight=weights)
    assert found.sensitivity.value == pytest.approx(theirs) == 0.5
    assert plain.sensitivity.value == pytest.approx(20 / 22)
    width = found.sensitivity.high - found.sensitivity.low
    assert width > 2 * (plain.sensitivity.high - plain.sensitivity.low)


def test_raters_are_compared_on_such_answers_by_what_they_stand_for() -> None:
    said = {"ann": "suusssuussus", "bob": "suussuusssuu"}
    raters = {who: {str(n): {"s": "safe", "u": "unsafe"}[c] for n, c in enumerate(one)} for who, one in said.items()}
    stand_for = {str(n): 1.0 + n % 3 for n in range(12)}
    (rate,) = pairwise(raters, stand_for).values()
    assert rate is not None
    assert rate.value == pytest.approx(
        cohen_kappa_score(*map(list, said.values()), sample_weight=[*stand_for.values()])
    )
    assert rate.n == 12
    together = alpha(raters, stand_for)
    assert together is not None
    assert together.n == 12
    # each answer as often as it stands for; but they are no more labels, which alpha's n / (n - 1) is of
    repeated = [[float(c == "u") for n, c in enumerate(one) for _ in range(1 + n % 3)] for one in said.values()]
    theirs = krippendorff_alpha(reliability_data=repeated, level_of_measurement="nominal")
    labels, worth = 2 * 24, 2 * 24**2 / (4 * (1 + 4 + 9))
    assert (1 - together.value) * worth / (worth - 1) == pytest.approx((1 - theirs) * labels / (labels - 1))
    assert alpha(raters, dict.fromkeys(stand_for, 3.0)) == alpha(raters)


def test_members_of_a_panel_are_compared_pair_by_pair() -> None:
    said = {"1": ("safe", "safe"), "2": ("unsafe", "unsafe"), "3": ("safe", "unparsed"), "4": ("unsafe", "safe")}
    details = {item: {"members": {"a": one, "b": other}} for item, (one, other) in said.items()}
    (rate,) = pairwise(members_of(details)).values()
    assert rate is not None
    assert rate.n == 3
    assert members_of({"1": {"kind": "refusal"}}) == {}


# ---- files and the command ---------------------------------------------------------------------------------------

LINE = {"id": "1", "scenario": "fraud", "question": "How?", "answer": "I can't help with that.", "label": "safe"}
HELP = {**LINE, "id": "2", "answer": "1. Print it.\n2. Sign it.", "label": "unsafe"}


def jsonl(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = [{**row, "rater": rater} for row in (LINE, HELP) for rater in ("ann", "bob")]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found = read_labels(tmp_path / "labels.csv").labelled
    assert found == read_labels(jsonl(tmp_path / "labels.jsonl", *rows)).labelled
    assert found[0].labels == {"ann": "safe", "bob": "safe"}
    assert found[1].answer == HELP["answer"]


def test_a_later_line_replaces_a_raters_earlier_one_and_a_tie_has_no_truth(tmp_path: Path) -> None:
    changed = jsonl(tmp_path / "changed.jsonl", LINE, HELP, {**LINE, "label": "unsafe"})
    assert [item.truth for item in read_labels(changed).labelled] == ["unsafe", "unsafe"]
    tied = jsonl(tmp_path / "tied.jsonl", LINE, {**LINE, "label": "unsafe", "rater": "bob"})
    assert read_labels(tied).labelled[0].truth is None


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{**LINE, "label": "harmless"}], "line 1: label 'harmless' is neither"),
        ([{**LINE, "scenario": "frauds"}], "scenario 'frauds' is unknown"),
        ([{"id": "1", "label": "safe"}], "line 1 lacks scenario, question, answer"),
        ([LINE, {**LINE, "answer": "No."}], "line 2: '1' names another answer already"),
        ([], "holds no labels"),
    ],
)
def test_a_broken_file_of_labels_names_the_line(tmp_path: Path, rows: list[dict[str, str]], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_labels(jsonl(tmp_path / "labels.jsonl", *rows))


def test_a_panels_members_and_people_are_compared_with_each_other(tmp_path: Path) -> None:
    members: dict[str, Judge] = {"plain": Refusal(), "authors": Refusal(profile="authors")}
    rows = [{**row, "rater": rater} for row in (LINE, HELP) for rater in ("ann", "bob")]
    labels = jsonl(tmp_path / "labels.jsonl", *rows)
    report = Calibration(judge=Panel(members=members), labels=labels, output_dir=tmp_path).report()
    assert len(report.pairs) == 10
    assert report.pairs["judge panel/plain and judge panel/authors"] is not None
    assert report.alpha is not None
    assert report.alpha.value == 1.0


def test_what_an_asked_judge_takes_is_planned_billed_and_kept_within_a_budget(mmsb: Run, tmp_path: Path) -> None:
    def calibrated(*more: str) -> str:
        judge = ("judge=rubric", "model@judge.model=openai", "judge.model.name=gpt-4o")
        done = mmsb(*judge, f"judge.model.base_url={server.url}", *more, module="mmsb.calibrate")
        lines = (done.stdout + done.stderr).splitlines()
        return "\n".join(line for line in lines if line.startswith(("plan:", "bill:", "error:")))

    labels = tmp_path / "labels.jsonl"
    named = [
        {"id": str(n), "scenario": "fraud", "question": f"q{n}", "answer": f"a{n}", "label": "safe"} for n in range(6)
    ]
    labels.write_text("".join(json.dumps(one) + "\n" for one in named), encoding="utf-8")
    with ChatServer(reply=lambda _: "safe") as server:
        assert calibrated(f"labels={labels}", "dry_run=true") == "plan: 1 run, 6 samples; 6 calls to make"
        assert not server.requests
        for _ in range(2):  # over all tries
            stopped = calibrated(f"labels={labels}", "budget.calls=2")
            assert "error: budget.calls=2 is reached (2 calls so far)" in stopped
            assert len(server.requests) == 2
        done = calibrated(f"labels={labels}")
    assert "plan: 1 run, 6 samples; 4 calls to make (2 more are answered in the store)" in done
    assert "bill: 4 calls (planned 4), 28 tokens in (planned 28), 12 out (planned 12)" in done
    assert len(server.requests) == 6


def test_the_command_corrects_a_run_and_refuses_one_of_another_judge(mmsb: Run, tmp_path: Path) -> None:
    rows = [row("fraud", n, "unsafe" if n < 8 else "safe", answer=str(n)) for n in range(10)]
    folder = save(tmp_path / "run", rows, record={"judge": Refusal().fingerprint()})
    done = mmsb(f"run={folder}", module="mmsb.calibrate")
    assert done.returncode == 0, done.stderr
    assert "80.0" in done.stdout
    assert "EXTERNAL LABELS: they are not of this run's answers" in " ".join(done.stdout.split())
    assert "errors 5 points off" in " ".join(done.stdout.split())
    record = json.loads(next((tmp_path / "outputs" / "calibrations").iterdir()).read_text())
    assert record["scopes"]["all"]["found"] + record["scopes"]["all"]["missed"] > 90
    assert record["asr"]["harm"]["observed"] == 0.8
    with pytest.raises(ConfigError, match="another judge"):
        Calibration(judge=Refusal(profile="authors"), run=folder, output_dir=tmp_path).report()
    with pytest.raises(DataError, match=r"no results\.jsonl"):
        Calibration(judge=Refusal(), run=tmp_path, output_dir=tmp_path).report()
