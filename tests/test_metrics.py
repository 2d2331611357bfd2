from __future__ import annotations

import random
from typing import Any

import numpy
import pytest
from scipy.stats import binomtest, bootstrap

from mmsb.metrics import rates
from mmsb.metrics.paired import compare, holm, mcnemar_exact, smallest_detectable
from mmsb.metrics.rates import macro_average, wilson
from mmsb.metrics.summary import Score, summarize
from mmsb.scenario import official_scenarios


@pytest.mark.parametrize(
    ("positives", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_worked_examples_of_newcombe_1998(positives: int, n: int, low: float, high: float) -> None:
    rate = wilson(positives, n)
    assert rate is not None
    assert [rate.low, rate.high] == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize("n", [1, 7, 44, 1680])
def test_wilson_is_scipys(n: int) -> None:
    for positives in range(0, n + 1, max(1, n // 40)):
        theirs = binomtest(positives, n).proportion_ci(0.95, method="wilson")
        rate = wilson(positives, n)
        assert rate is not None
        assert (rate.low, rate.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_rate_of_nothing_is_no_rate() -> None:
    assert wilson(0, 0) is None
    assert macro_average([[], []]) is None


def test_the_macro_average_weighs_scenarios_alike() -> None:
    rate = macro_average([[1.0] * 90, [0.0] * 10])
    assert rate is not None
    assert (rate.value, rate.n) == (0.5, 100)


def test_answers_that_are_all_alike_still_leave_doubt() -> None:
    rate = macro_average([[1.0] * 8] * 4)
    assert rate is not None
    single = wilson(8, 8)
    assert single is not None
    assert (rate.value, rate.high) == (1.0, 1.0)
    assert rate.low == pytest.approx(1 - (1 - single.low) / 2)  # four equal strata halve it
    change = macro_average([[0.0] * 8], lowest=-1.0)
    assert change is not None
    assert change.low == pytest.approx(-change.high) == pytest.approx(single.low - 1)


def test_the_same_answers_give_the_same_interval() -> None:
    strata = [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    assert macro_average(strata) == macro_average(strata)


def test_the_macro_interval_is_scipys_stratified_percentile_bootstrap() -> None:
    rng = numpy.random.default_rng(3)
    strata = [rng.choice([0.0, 0.5, 1.0], size, p=[0.3, 0.2, 0.5]).tolist() for size in (20, 45, 97)]

    def statistic(*samples: Any, axis: int) -> Any:
        return numpy.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    theirs = bootstrap(strata, statistic, n_resamples=20_000, method="percentile", rng=numpy.random.default_rng(4))
    ours = macro_average(strata)
    assert ours is not None
    assert [ours.low, ours.high] == pytest.approx(list(theirs.confidence_interval), abs=0.006)


def test_the_macro_interval_covers_the_truth_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "RESAMPLES", 599)
    truth, sizes = [0.1, 0.3, 0.6, 0.9], [50, 60, 80, 100]
    rng = numpy.random.default_rng(20)
    hits = 0
    for _ in range(400):
        strata = [(rng.random(n) < p).astype(float).tolist() for p, n in zip(truth, sizes, strict=True)]
        rate = macro_average(strata)
        assert rate is not None
        hits += rate.low <= float(numpy.mean(truth)) <= rate.high
    assert 0.93 <= hits / 400 <= 0.97


def test_mcnemar_gives_the_published_result_for_agrestis_approval_ratings() -> None:
    # Agresti, Categorical Data Analysis, table 10.1: 150 and 86 discordant; z^2 = 17.36, p = 3e-5
    assert mcnemar_exact(150, 86) == pytest.approx(3.1e-5, rel=0.3)
    assert mcnemar_exact(5, 5) == 1.0
    assert mcnemar_exact(0, 0) == 1.0


def row(question: int, label: str, scenario: str = "fraud", repeat: int = 0) -> dict[str, Any]:
    refusal = label == "safe"
    return {"scenario": scenario, "question_id": str(question), "repeat": repeat, "label": label} | {
        "refusal": refusal,
        "benign": False,
    }


def test_runs_are_compared_on_the_questions_they_share() -> None:
    first = [row(i, "unsafe") for i in range(10)] + [row(99, "unsafe")]
    second = [row(i, "safe" if i < 6 else "unsafe") for i in range(10)] + [row(77, "unsafe")]
    by_scope = {d.scope: d for d in compare(first, second)}
    assert set(by_scope) == {"fraud", "macro", "micro"}
    assert by_scope["micro"].change.value == pytest.approx(-0.6)
    assert (by_scope["micro"].only_first, by_scope["micro"].only_second) == (6, 0)
    assert by_scope["micro"].p == pytest.approx(2 * 0.5**6)
    assert by_scope["fraud"].change.low < -0.6 < by_scope["fraud"].change.high


def test_what_was_not_rated_in_either_run_is_in_no_pair() -> None:
    first = [row(0, "unsafe"), row(1, "failed"), row(2, "unparsed"), row(3, "safe")]
    second = [row(0, "unsafe"), row(1, "unsafe"), row(2, "safe"), row(3, "filtered")]
    assert {d.scope: d.change.n for d in compare(first, second)} == {"fraud": 1, "macro": 1, "micro": 1}
    assert compare(first[1:3], second) == []


def test_repeats_of_a_question_count_as_one_observation_in_the_interval() -> None:
    rng = random.Random(3)
    labels = [rng.choice(["safe", "unsafe"]) for _ in range(30)]
    once = compare([row(i, "unsafe") for i in range(30)], [row(i, label) for i, label in enumerate(labels)])
    copies = [(i, r) for i in range(30) for r in range(5)]
    many = compare([row(i, "unsafe", repeat=r) for i, r in copies], [row(i, labels[i], repeat=r) for i, r in copies])
    assert many[-1].change.low == pytest.approx(once[-1].change.low)


def test_holm_gives_the_textbook_correction() -> None:
    plain = compare([row(i, "unsafe") for i in range(4)], [row(i, "safe") for i in range(4)])[:1]
    from dataclasses import replace

    corrected = holm([replace(plain[0], p=p) for p in (0.01, 0.04, 0.03, 0.005)])
    assert [d.p_holm for d in corrected] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_smallest_detectable_difference_is_detected_four_times_in_five() -> None:
    pairs, disagreeing = 300, 0.3
    delta = smallest_detectable(pairs, disagreeing)
    assert delta is not None
    rng = numpy.random.default_rng(5)
    worse, better = (disagreeing + delta) / 2, (disagreeing - delta) / 2
    found = 0
    for _ in range(400):
        counts = rng.multinomial(pairs, [worse, better, 1 - worse - better])
        found += mcnemar_exact(int(counts[0]), int(counts[1])) < 0.05
    assert 0.72 <= found / 400 <= 0.86  # the exact test is a little conservative


def test_nothing_is_detectable_in_too_few_pairs() -> None:
    assert smallest_detectable(4, 0.5) is None
    assert smallest_detectable(0, 0.5) is None


def scores(labels: dict[str, int], scenario: str = "06-Fraud") -> list[Score]:
    return [
        Score(scenario, f"{scenario}/{label}{i}", label, label == "safe")  # type: ignore[arg-type]
        for label, count in labels.items()
        for i in range(count)
    ]


def test_what_failed_was_filtered_or_unparsed_is_counted_and_in_no_rate() -> None:
    fraud = [s for s in official_scenarios() if s.name == "fraud"]
    counts = {"unsafe": 3, "safe": 1, "unparsed": 2, "failed": 5, "filtered": 4}
    metrics = summarize(scores(counts), fraud).metrics
    assert metrics["asr/fraud"] == metrics["asr/micro"] == metrics["asr/macro"] == metrics["asr/harm"] == 0.75
    assert (metrics["n/answered"], metrics["n/unparsed"], metrics["n/failed"]) == (6, 2, 5)
    assert (metrics["n/filtered"], metrics["n/total"]) == (4, 15)
    assert metrics["asr/micro_if_unparsed_safe"] == 0.5
    assert metrics["asr/micro_if_unparsed_unsafe"] == pytest.approx(5 / 6)
    assert "asr/policy" not in metrics


def test_every_rate_has_its_interval_and_the_groups_stand_apart() -> None:
    all_scores = [s for scenario in official_scenarios() for s in scores({"unsafe": 2, "safe": 3}, scenario.id)]
    metrics = summarize(all_scores, official_scenarios()).metrics
    names = [s.name for s in official_scenarios()] + ["macro", "micro", "harm", "policy"]
    for kind in ("asr", "refusal_rate"):
        for name in names:
            assert metrics[f"{kind}/{name}_low"] <= metrics[f"{kind}/{name}"] <= metrics[f"{kind}/{name}_high"]


def test_repeats_give_the_mean_and_the_share_of_questions_with_any_unsafe_answer() -> None:
    fraud = [s for s in official_scenarios() if s.name == "fraud"]
    once = [Score("06-Fraud", str(q), "unsafe" if q < 5 else "safe", False) for q in range(20)]
    five_times = [s for s in once for _ in range(5)]
    mixed = [Score("06-Fraud", str(q), "unsafe" if r == 0 else "safe", False) for q in range(20) for r in range(4)]
    assert "asr_any/fraud" not in summarize(once, fraud).metrics
    copied, spread = summarize(five_times, fraud).metrics, summarize(mixed, fraud).metrics
    assert copied["asr/fraud"] == 0.25
    assert copied["asr/fraud_high"] - copied["asr/fraud_low"] > 0.3  # five copies are no more evidence than one
    assert (spread["asr/fraud"], spread["asr_any/fraud"]) == (0.25, 1.0)


def test_comprehension_is_a_rate_and_an_estimate_is_called_one() -> None:
    fraud = [s for s in official_scenarios() if s.name == "fraud"]
    said = [Score("06-Fraud", str(i), "unsafe" if i < 2 else "safe", False, comprehended=i < 4) for i in range(8)]
    metrics = summarize(said, fraud).metrics
    assert (metrics["comprehension_rate/fraud"], metrics["asr_comprehended/fraud"]) == (0.5, 0.5)
    from dataclasses import replace

    guessed = summarize([replace(score, estimated=True) for score in said], fraud).metrics
    assert guessed["comprehension_estimate/fraud"] == 0.5
    assert "comprehension_rate/fraud" not in guessed


def test_a_benign_question_is_in_no_attack_rate() -> None:
    fraud = [s for s in official_scenarios() if s.name == "fraud"]
    asked = [Score("06-Fraud", str(i), "safe", i == 0, benign=True) for i in range(4)]
    metrics = summarize(asked, fraud).metrics
    assert metrics["false_refusal_rate/fraud"] == 0.25
    assert "asr/fraud" not in metrics
    assert "refusal_rate/fraud" not in metrics


def test_an_empty_scenario_has_no_rate_and_does_not_enter_the_average() -> None:
    some = official_scenarios()[:2]
    metrics = summarize(scores({"unsafe": 1, "safe": 1}, some[0].id), some).metrics
    assert metrics["asr/macro"] == 0.5
    assert f"asr/{some[1].name}" not in metrics
