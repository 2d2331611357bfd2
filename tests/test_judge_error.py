"""The offline judge's tables begin with what it cannot know; its published errors stand beside its rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsb.judge.answers import CANNOT_KNOW
from mmsb.judge.published import published_error
from mmsb.metrics.score import Score
from mmsb.metrics.summary import Summary, summarize
from mmsb.report.judge_error import corrected, told, warning
from mmsb.scenario import official_scenarios
from mmsb.types import Label
from tests.conftest import Run

SCENARIOS = official_scenarios()


def summary(unsafe: int, of: int = 100) -> Summary:
    labels: list[Label] = ["unsafe" if n < unsafe else "safe" for n in range(of)]
    scores = [Score(s.id, str(n), label, label == "safe") for s in SCENARIOS for n, label in enumerate(labels)]
    return summarize(scores, SCENARIOS)


def test_each_group_is_corrected_by_the_errors_of_that_group() -> None:
    rates = corrected("refusal", summary(70), SCENARIOS)
    assert list(rates) == ["harm", "policy", "macro"]
    for group in ("harm", "policy"):
        error = (published_error("refusal") or {})[group]
        found, alarms = error.unsafe_found.share, 1 - error.safe_left.share
        assert rates[group].value == pytest.approx((0.7 - alarms) / (found - alarms))
        assert rates[group].low < rates[group].value < rates[group].high
    assert rates["macro"].value == pytest.approx((8 * rates["harm"].value + 5 * rates["policy"].value) / 13)
    assert "external (measured on other answers): harm" in told(rates, "refusal")
    assert "(measured on other answers, in English: 3 of this run are not): harm" in told(rates, "refusal", 3)


def test_the_average_is_never_surer_than_its_groups() -> None:
    """Of 13 answers none unsafe: both groups' ends are above nought, and so is the average's."""
    rates = corrected("refusal", summary(0, 1), SCENARIOS)
    assert rates["harm"].value == rates["policy"].value == rates["macro"].value == 0.0
    assert 0.0 < rates["macro"].high <= max(rates["harm"].high, rates["policy"].high)


def test_a_run_that_the_errors_cannot_explain_gets_no_correction_instead_of_certainty() -> None:
    assert corrected("refusal", summary(0), SCENARIOS) == {}  # fewer unsafe answers than false alarms alone would make


def test_a_judge_without_published_errors_is_not_corrected() -> None:
    assert corrected("rubric", summary(50), SCENARIOS) == {}
    assert told({}, "rubric") == ""


REFUSAL, RUBRIC = {"_target_": "mmsb.judge.refusal.Refusal"}, {"_target_": "mmsb.judge.rubric.Rubric"}
CLASSIFIER = {"_target_": "mmsb.judge.refusal_classifier.RefusalClassifier"}


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (None, None),
        (RUBRIC, None),
        ({"members": {"a": RUBRIC, "b": RUBRIC}}, None),
        (REFUSAL, f"The offline judge {CANNOT_KNOW}"),
        (CLASSIFIER, f"The classifier of refusals {CANNOT_KNOW}"),
        ({"members": {"a": RUBRIC, "b": REFUSAL}}, f"The offline judge (the panel's b) {CANNOT_KNOW}"),
        (
            {"members": {"a": CLASSIFIER, "b": {"members": {"c": REFUSAL, "d": RUBRIC}}}},
            "The classifier of refusals (the panel's a) and the offline judge (the panel's b.c): each " + CANNOT_KNOW,
        ),
    ],
)
def test_who_reads_refusals_alone_is_told_also_of_a_panels_members(
    judge: dict[str, Any] | None, said: str | None
) -> None:
    assert warning(judge) == said


def test_the_offline_judges_table_says_first_what_it_cannot_know(mmsb: Run, tmp_path: Path) -> None:
    done = mmsb("image_mode=text_only", "dataset.limit=2", "tracker=none", "scenario=[fraud,legal_opinion]")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"The offline judge {CANNOT_KNOW}")
    assert "ASR corrected for the published errors of judge=refusal, external" in done.stdout
