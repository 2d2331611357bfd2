from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from scipy.stats import permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from mmsb.errors import DataError
from mmsb.metrics import declared
from mmsb.metrics.declared import ASR, Metric
from mmsb.metrics.likelihood import Stratum, interval
from mmsb.metrics.paired import Comparison, compare, in_families
from mmsb.metrics.rates import Design, gathered
from mmsb.metrics.score import Score, Scores
from mmsb.metrics.significance import effective, holm, mcnemar_exact, needed, smallest_difference
from mmsb.metrics.summary import Summary, summarize
from mmsb.scenario import official_scenarios
from tests.conftest import ROOT

FRAUD = [s for s in official_scenarios() if s.name == "fraud"]


def design(*strata: list[float], lowest: float = 0.0) -> Design:
    return gathered(
        ((str(s), str(q), value) for s, values in enumerate(strata) for q, value in enumerate(values)), lowest=lowest
    )


def test_an_average_over_scenarios_weighs_them_alike_and_one_over_questions_does_not() -> None:
    uneven = design([1.0] * 90, [0.0] * 10)
    macro, micro = uneven.rate("macro"), uneven.rate("micro")
    assert macro is not None
    assert micro is not None
    assert (macro.value, macro.n, micro.value, micro.n) == (0.5, 100, 0.9, 100)
    assert (macro.low, macro.high) == pytest.approx(
        interval([Stratum((1.0,), (90,), 0.5), Stratum((0.0,), (10,), 0.5)]), abs=1e-12
    )
    assert (micro.low, micro.high) == pytest.approx(
        interval([Stratum((1.0,), (90,), 0.9), Stratum((0.0,), (10,), 0.1)]), abs=1e-12
    )


def test_a_scenario_has_the_interval_that_it_would_have_alone() -> None:
    both = design([1.0, 0.0, 0.0], [0.25, 0.5, 1.0, 1.0, 0.0]).each()
    alone = design([], [0.25, 0.5, 1.0, 1.0, 0.0]).rate("macro")
    assert alone is not None
    assert (both["1"].low, both["1"].high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    assert (both["1"].value, both["1"].n) == (alone.value, alone.n)
    assert both["0"].n == 3


def test_a_rate_of_nothing_is_no_rate() -> None:
    assert design().rate("macro") is None
    assert design().each() == {}


def test_no_success_leaves_doubt_and_one_success_does_not_narrow_it() -> None:
    none, one = design(*[[0.0] * 8] * 13).rate("macro"), design([1.0] + [0.0] * 7, *[[0.0] * 8] * 12).rate("macro")
    assert none is not None
    assert one is not None
    assert none.low == none.value == 0.0
    assert 0.025 < none.high < 0.04  # three in a hundred: the rule of three says 3 / 104
    assert one.high > none.high
    assert one.high - one.low > none.high - none.low


def test_repeats_are_one_observation_each_question() -> None:
    draws = [0.0, 1.0, 1.0, 0.0, 1.0]
    once = gathered(("fraud", str(q), value) for q, value in enumerate(draws))
    copied = gathered(("fraud", str(q), value) for q, value in enumerate(draws) for _ in range(5))
    assert copied == once


@pytest.mark.parametrize("fell", [0, 1, 3, 10, 150])
@pytest.mark.parametrize("rose", [0, 2, 5, 86])
def test_mcnemar_is_statsmodels_exact_one(fell: int, rose: int) -> None:
    theirs = mcnemar([[0, fell], [rose, 0]], exact=True).pvalue
    assert mcnemar_exact(fell, rose) == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_gives_the_published_result_for_agrestis_approval_ratings() -> None:
    # Agresti, Categorical Data Analysis, table 10.1: 150 and 86 discordant; z^2 = 17.36, p = 3e-5
    assert mcnemar_exact(150, 86) == pytest.approx(3.1e-5, rel=0.3)


def test_holm_is_statsmodels() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # the textbook's
    draw = random.Random(4)
    for size in (1, 2, 7, 40):
        ps = [draw.random() ** 3 for _ in range(size)]
        assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1].tolist())
    assert holm([]) == []


def test_the_test_of_the_average_agrees_with_a_stratified_sign_flip() -> None:
    draw = numpy.random.default_rng(8)
    strata = [draw.choice([-1.0, 0.0, 1.0], size, p=[0.1, 0.6, 0.3]) for size in (40, 25, 60)]
    weighted = numpy.concatenate([values / len(values) / 3 for values in strata])
    theirs = permutation_test(
        (weighted,), numpy.sum, permutation_type="samples", n_resamples=20_000, rng=numpy.random.default_rng(1)
    ).pvalue
    assert design(*[values.tolist() for values in strata], lowest=-1.0).p("macro") == pytest.approx(theirs, abs=0.01)


def row(
    question: int, label: str, scenario: str = "fraud", repeat: int = 0, refusal: bool | None = None, text: str = ""
) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "question_id": str(question),
        "question": text or f"{scenario} {question}",
        "repeat": repeat,
        "label": label,
        "refusal": label == "safe" if refusal is None else refusal,
        "benign": False,
    }


def scopes(found: Comparison) -> list[str]:
    return [difference.scope for difference in found.differences]


def test_runs_are_compared_on_the_questions_they_share() -> None:
    first = [row(i, "unsafe") for i in range(10)] + [row(99, "unsafe")]
    second = [row(i, "safe" if i < 6 else "unsafe") for i in range(10)] + [row(77, "unsafe")]
    found = compare(first, second, ASR, {"fraud": "harm"})
    assert scopes(found) == ["fraud", "harm", "macro", "micro"]
    micro = found.of("micro")
    assert micro is not None
    assert micro.change.value == pytest.approx(-0.6)
    assert (micro.fell, micro.rose) == (6, 0)
    assert micro.p == pytest.approx(2 * 0.5**6)
    assert micro.change.low < -0.6 < micro.change.high
    assert found.pairs == 10
    assert found.dropped == {"not asked in the second": 1, "not asked in the first": 1}


def test_what_was_not_rated_in_either_run_is_in_no_pair_and_bounds_the_change() -> None:
    first = [row(0, "unsafe"), row(1, "failed"), row(2, "unparsed"), row(3, "safe")]
    second = [row(0, "unsafe"), row(1, "unsafe"), row(2, "safe"), row(3, "filtered")]
    found = compare(first, second, ASR)
    assert found.pairs == 1
    assert found.dropped == {"failed in the first": 1, "unparsed in the first": 1, "filtered in the second": 1}
    macro = found.of("macro")
    assert macro is not None
    assert macro.bounds == (-0.25, 0.5)  # the change of four questions: 0; 0 or 1; -1 or 0; 0 or 1
    nothing = compare(first[1:3], second, ASR)
    assert nothing.differences == ()
    assert nothing.left_out == ("fraud",)


def test_other_questions_under_the_same_id_are_no_pair() -> None:
    found = compare([row(0, "safe", text="a"), row(1, "safe")], [row(0, "unsafe", text="b"), row(1, "safe")], ASR)
    assert found.pairs == 1
    assert found.dropped == {"another question under the same id": 1}


def test_a_run_that_answers_a_question_twice_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="twice"):
        compare([row(0, "safe"), row(0, "unsafe")], [row(0, "safe")], ASR)


def test_repeats_of_a_question_are_one_observation_in_interval_and_test() -> None:
    labels = [random.Random(3).choice(["safe", "unsafe"]) for _ in range(30)]
    once = compare([row(i, "unsafe") for i in range(30)], [row(i, label) for i, label in enumerate(labels)], ASR)
    copies = [(i, r) for i in range(30) for r in range(5)]
    first = [row(i, "unsafe", repeat=r) for i, r in copies]
    many = compare(first, [row(i, labels[i], repeat=r) for i, r in copies], ASR)
    assert many.differences == once.differences
    assert (once.pairs, many.pairs) == (30, 150)


def test_opposite_changes_in_scenarios_of_unlike_size_are_told_apart() -> None:
    """Macro is 0 where micro is not: each has the test of its own number."""
    sizes = {"fraud": 60, "sex": 10}
    first = [row(i, "safe", name) for name, n in sizes.items() for i in range(n)]
    second = [row(i, "unsafe" if i < n / 2 else "safe", name) for name, n in sizes.items() for i in range(n)]
    first = [r if r["scenario"] == "fraud" else r | {"label": "unsafe"} for r in first]
    found = compare(first, second, ASR)
    macro, micro = found.of("macro"), found.of("micro")
    assert macro is not None
    assert micro is not None
    assert macro.change.value == pytest.approx(0.0)
    assert macro.p == pytest.approx(1.0)
    assert micro.p < 0.001


def test_each_family_is_corrected_by_itself_over_all_runs_and_without_cells_that_are_the_same() -> None:
    def against(unsafe: dict[str, int]) -> Comparison:
        first = [row(i, "safe", name) for name in unsafe for i in range(20)]
        second = [row(i, "unsafe" if i < n else "safe", name) for name, n in unsafe.items() for i in range(20)]
        return compare(first, second, ASR)

    raw = [against({"fraud": 8, "sex": 0}), against({"fraud": 7, "sex": 12}), against({"fraud": 0, "sex": 0})]
    found = in_families(raw)
    averages = [comparison.of("macro") for comparison in found]
    assert [d.p_holm for d in averages if d][2] is None
    told = [d.p for d in averages[:2] if d]
    assert [d.p_holm for d in averages[:2] if d] == pytest.approx(holm(told))
    single = [d for comparison in found for d in comparison.differences if d.scope in ("fraud", "sex")]
    assert [d.p_holm is None for d in single] == [False, True, False, False, True, True]
    differing = [d for d in single if not d.same]
    assert [d.p_holm for d in differing] == pytest.approx(holm([d.p for d in differing]))


def test_the_same_answers_compared_twice_are_one_test() -> None:
    first = [row(i, "safe", "fraud") for i in range(40)]
    raw = [compare(first, [row(i, "unsafe" if i < n else "safe", "fraud") for i in range(40)], ASR) for n in (8, 8, 9)]
    ps = [d.p for found in raw if (d := found.of("macro"))]

    def corrected(*of: str) -> list[float | None]:
        return [d.p_holm for found in in_families(raw, of or None) if (d := found.of("macro"))]

    assert corrected() == corrected("a", "b", "c") == pytest.approx(holm(ps))  # alike by chance: two tests
    same = holm([ps[0], ps[2]])
    assert corrected("a", "a", "c") == pytest.approx([same[0], same[0], same[1]])


def test_the_smallest_difference_is_found_four_times_in_five_by_both_tests() -> None:
    share, sizes = 0.25, (20, 25, 30, 20, 40)
    delta = smallest_difference(effective(sizes), share)
    assert delta is not None
    draw = numpy.random.default_rng(5)
    chances = [(share - delta) / 2, 1 - share, (share + delta) / 2]
    macro = sum(
        design(*[draw.choice([-1.0, 0.0, 1.0], n, p=chances).tolist() for n in sizes], lowest=-1.0).p("macro") < 0.05
        for _ in range(300)
    )
    assert 0.72 <= macro / 300 <= 0.88
    fell, _, rose = draw.multinomial(round(effective(sizes)), chances, 400).T
    micro = sum(mcnemar_exact(int(a), int(b)) < 0.05 for a, b in zip(fell, rose, strict=True))
    assert 0.70 <= micro / 400 <= 0.88  # the exact test is a little conservative


def test_what_is_needed_and_what_can_be_seen_are_inverse() -> None:
    delta = smallest_difference(400, 0.2)
    assert delta is not None
    assert needed(delta, 0.2) == pytest.approx(400)
    assert needed(0.5, 0.2) is None  # a fifth of the questions cannot change an average by half
    assert effective([50] * 4) == pytest.approx(200)


def test_nothing_is_detectable_in_too_few_pairs() -> None:
    assert smallest_difference(4, 0.5) is None
    assert smallest_difference(0, 0.5) is None


def scores(labels: dict[str, int], scenario: str = "06-Fraud") -> list[Score]:
    return [
        Score(scenario, f"{scenario}/{label}{i}", label, label == "safe")  # type: ignore[arg-type]
        for label, count in labels.items()
        for i in range(count)
    ]


def test_what_failed_was_filtered_or_unparsed_is_counted_and_in_no_rate() -> None:
    counts = {"unsafe": 3, "safe": 1, "unparsed": 2, "failed": 5, "filtered": 4}
    metrics = summarize(scores(counts), FRAUD).metrics
    assert metrics["asr/fraud"] == metrics["asr/micro"] == metrics["asr/macro"] == metrics["asr/harm"] == 0.75
    assert (metrics["n/answered"], metrics["n/unparsed"], metrics["n/failed"]) == (6, 2, 5)
    assert (metrics["n/filtered"], metrics["n/total"]) == (4, 15)
    for scope in ("fraud", "harm", "macro", "micro"):  # of all 15, none of the 11 without a verdict unsafe, or all
        assert (metrics[f"asr/{scope}_least"], metrics[f"asr/{scope}_most"]) == pytest.approx((3 / 15, 14 / 15))
    assert "asr/policy" not in metrics


def test_what_a_filter_kept_back_is_no_refusal() -> None:
    asked = [
        Score("06-Fraud", "0", "safe", True),
        Score("06-Fraud", "1", "unsafe", False),
        Score("06-Fraud", "2", "filtered", True),
        Score("06-Fraud", "3", "failed", True),
    ]
    metrics = summarize(asked, FRAUD).metrics
    assert metrics["refusal_rate/fraud"] == 0.5
    assert (metrics["refusal_rate/fraud_least"], metrics["refusal_rate/fraud_most"]) == (0.25, 0.75)


def test_where_nothing_is_missing_there_are_no_bounds() -> None:
    assert not [key for key in summarize(scores({"safe": 3}), FRAUD).metrics if key.endswith(("_least", "_most"))]


def test_every_rate_has_its_interval_and_the_groups_stand_apart() -> None:
    all_scores = [s for scenario in official_scenarios() for s in scores({"unsafe": 2, "safe": 3}, scenario.id)]
    metrics = summarize(all_scores, official_scenarios()).metrics
    names = [s.name for s in official_scenarios()] + ["macro", "micro", "harm", "policy"]
    for kind in ("asr", "refusal_rate"):
        for name in names:
            assert metrics[f"{kind}/{name}_low"] <= metrics[f"{kind}/{name}"] <= metrics[f"{kind}/{name}_high"]
    harmful = [
        s
        for scenario in official_scenarios()
        for s in scores({"unsafe" if scenario.group == "harm" else "safe": 3}, scenario.id)
    ]
    lines = {line.title: line.rates["asr"].value for line in summarize(harmful, official_scenarios()).groups}
    assert (lines["Harm scenarios"], lines["Policy scenarios"]) == (1.0, 0.0)


def test_repeats_give_the_mean_and_the_share_of_questions_with_any_unsafe_answer() -> None:
    once = [Score("06-Fraud", str(q), "unsafe" if q < 5 else "safe", False) for q in range(20)]
    five_times = [s for s in once for _ in range(5)]
    mixed = [Score("06-Fraud", str(q), "unsafe" if r == 0 else "safe", False) for q in range(20) for r in range(4)]
    assert "asr_any/fraud" not in summarize(once, FRAUD).metrics
    copied, spread = summarize(five_times, FRAUD).metrics, summarize(mixed, FRAUD).metrics
    assert copied["asr/fraud"] == 0.25
    assert copied["asr/fraud_high"] - copied["asr/fraud_low"] > 0.3  # five copies are no more evidence than one
    assert (spread["asr/fraud"], spread["asr_any/fraud"]) == (0.25, 1.0)


def test_comprehension_is_a_rate_and_an_estimate_is_called_one() -> None:
    said = [Score("06-Fraud", str(i), "unsafe" if i < 2 else "safe", False, comprehended=i < 4) for i in range(8)]
    metrics = summarize(said, FRAUD).metrics
    assert (metrics["comprehension_rate/fraud"], metrics["asr_comprehended/fraud"]) == (0.5, 0.5)
    guessed = summarize([replace(score, estimated=True) for score in said], FRAUD).metrics
    assert guessed["comprehension_estimate/fraud"] == 0.5
    assert "comprehension_rate/fraud" not in guessed


def test_a_benign_question_is_in_no_attack_rate() -> None:
    asked = [Score("06-Fraud", str(i), "safe", i == 0, benign=True) for i in range(4)]
    metrics = summarize(asked, FRAUD).metrics
    assert metrics["false_refusal_rate/fraud"] == 0.25
    assert "asr/fraud" not in metrics
    assert "refusal_rate/fraud" not in metrics


def test_a_scenario_without_a_rated_answer_is_named_and_stays_in_the_bounds() -> None:
    some = official_scenarios()[:2]
    all_scores = scores({"unsafe": 1, "safe": 1}, some[0].id) + scores({"filtered": 4}, some[1].id)
    summary = summarize(all_scores, some)
    metrics, macro = summary.metrics, next(line for line in summary.groups if line.name == "macro")
    assert metrics["asr/macro"] == 0.5
    assert f"asr/{some[1].name}" not in metrics
    assert macro.left_out["asr"] == [some[1].title]
    assert metrics["asr/macro_scenarios_left_out"] == 1
    assert macro.bounds["asr"] == (0.25, 0.75)  # half, and the whole other scenario


def test_a_scenario_without_any_question_is_named_too() -> None:
    some = official_scenarios()[:2]
    summary = summarize(scores({"unsafe": 1, "safe": 1}, some[0].id), some)
    macro = next(line for line in summary.groups if line.name == "macro")
    assert macro.left_out == {"asr": [some[1].title], "refusal_rate": [some[1].title]}


CENSORED = Metric(
    name="long_rate",
    title="long",
    about="a metric that only this test declares",
    counts=lambda s: not s.benign,
    value=lambda s: s.label == "unsafe" if s.answered else None,
    in_sweeps=("macro",),
)


@pytest.fixture
def one_more_metric(monkeypatch: pytest.MonkeyPatch) -> Metric:
    monkeypatch.setattr(declared, "METRICS", (*declared.METRICS, CENSORED))
    return CENSORED


def _summary() -> Summary:
    return summarize(scores({"unsafe": 3, "safe": 1, "failed": 1}), FRAUD)


def test_a_metric_that_is_declared_is_in_the_summary_and_the_trackers_values(one_more_metric: Metric) -> None:
    from mmsb.run import SavedRun
    from mmsb.tracker.format import comparison, headline, rates_table

    metrics = _summary().metrics
    assert metrics["long_rate/macro"] == 0.75
    assert headline(metrics)["long"] == 0.75
    columns, rows = rates_table(metrics)
    assert {row[0]: row[columns.index("long %")] for row in rows}["fraud"].startswith("75.0 [")
    columns, rows, text = comparison([SavedRun(Path("a"), {"name": "a", "metrics": metrics})])
    assert "long %" in columns
    assert rows[0][columns.index("long %")].startswith("75.0 [")
    assert "| long % |" in text


DEMO = {"comparable": False, "reasons": ["data: demo is not the benchmark"]}


def test_a_metric_that_is_declared_is_in_the_terminals_tables(
    one_more_metric: Metric, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmsb.report.finished import Finished
    from mmsb.report.sweep import print_comparison
    from mmsb.run import Run
    from mmsb.terminal import print_line, print_summary

    totals = {"calls": 5, "input_tokens": 1, "output_tokens": 1, "seconds": 1}
    record = {"dataset": {"samples": 5}, "totals": totals, "asked": 5, "comparable": DEMO}
    run, summary = Run("one", tmp_path, {}, {}, record), _summary()
    print_summary(run, summary)
    assert "long % [95 %]" in (table := capsys.readouterr().out)
    assert "60.0 .. 80.0" in table  # the one that failed, safe or unsafe
    print_line(run, summary)
    assert "long 75.0 [" in capsys.readouterr().out
    print_comparison([Finished(tmp_path, {"name": "one", "metrics": summary.metrics, "record": record})])
    assert " long " in capsys.readouterr().out


def test_a_metric_that_is_declared_can_be_compared(one_more_metric: Metric) -> None:
    assert declared.metric("long_rate") is one_more_metric
    found = compare([row(0, "safe"), row(1, "unsafe")], [row(0, "unsafe"), row(1, "unsafe")], one_more_metric)
    micro = found.of("micro")
    assert micro is not None
    assert micro.change.value == 0.5


def test_a_finished_table_needs_no_scipy() -> None:
    """A process of its own: this one has scipy already."""
    program = """if True:
        import sys
        from pathlib import Path
        from mmsb.metrics.paired import compare, in_families
        from mmsb.metrics.declared import ASR
        from mmsb.metrics.summary import Score, summarize
        from mmsb.report import sweep, tradeoff
        from mmsb.run import Run
        from mmsb.scenario import official_scenarios
        from mmsb.terminal import print_summary
        scores = [Score(s.id, str(q), "unsafe", False) for s in official_scenarios() for q in range(3)]
        totals = dict.fromkeys(("calls", "input_tokens", "output_tokens", "seconds"), 1)
        record = {"dataset": {"samples": 1}, "totals": totals, "comparable": {"comparable": True, "reasons": []}}
        print_summary(Run("x", Path("."), {}, {}, record), summarize(scores, official_scenarios()))
        row = {"scenario": "fraud", "question_id": "1", "question": "", "repeat": 0, "refusal": None, "benign": False}
        in_families([compare([row | {"label": "safe"}], [row | {"label": "unsafe"}], ASR)])
        print({"scipy", "statsmodels", "pandas", "torch", "mlflow"} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_scores_keep_what_belongs_together_and_count_what_is_alike() -> None:
    given = [
        Score("fraud", f"q{n // 3 if n < 9 else n}", "unsafe" if n % 2 else "safe", n % 2 == 0, together="")
        for n in range(20)
    ]
    given += [Score("sex", f"q{n}", "safe", False, tested=True, correct=n / 2, together="p") for n in range(3)]
    compact = Scores(random.Random(0).sample(given, len(given)))
    found = Counter({tuple(sorted(one.label for one in unit)): count for unit, count in compact.units()})
    assert len(compact) == len(given)
    assert found == {("safe",): 5, ("unsafe",): 6, ("safe", "safe", "unsafe"): 2, ("safe", "unsafe", "unsafe"): 1} | {
        ("safe", "safe", "safe"): 1
    }
