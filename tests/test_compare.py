"""Finished runs against each other: which are compared, what is said of them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmsb.compare.comparing import Comparing
from mmsb.compare.judges import sensitivity
from mmsb.compare.report import print_comparing
from mmsb.config import build
from mmsb.errors import ConfigError, DataError
from mmsb.metrics.declared import ASR
from mmsb.metrics.score import Score
from mmsb.metrics.summary import summarize
from mmsb.paths import conf_dir
from mmsb.report.columns import columns
from mmsb.scenario import official_scenarios
from tests.saved_runs import row, save

SCENARIOS = [s for s in official_scenarios() if s.name in ("fraud", "legal_opinion")]
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a finished run of two scenarios: how many of 20 questions are unsafe in each."""

    def run(name: str, unsafe: tuple[int, int], answers: str = "", judge: str = "refusal", **told: Any) -> Path:
        failed = told.get("failed", {})
        labels = {s.name: ["unsafe"] * n + ["safe"] * (20 - n) for s, n in zip(SCENARIOS, unsafe, strict=True)}
        rows = [
            row(scenario, number, failed.get((scenario, number), label), answer=f"{answers or name} {number}")
            for scenario, some in labels.items()
            for number, label in enumerate(some)
        ]
        ids = {s.name: s.id for s in SCENARIOS}
        scores = [replace(Score.of(one), scenario=ids[one["scenario"]]) for one in rows]
        defense = {"prompt": {"text": told["text"]}} if "text" in told else {}
        mode, samples = (
            told.get("mode", "typo"),
            {"name": "demo", "samples": len(rows), "digest": told.get("shown", "")},
        )
        return save(
            tmp_path / name,
            rows,
            choices={"dataset": "demo", "model": "tiny", "image_mode": mode, "defense": "none", "judge": "rubric"},
            config={"judge": {"name": judge}, "model": {"batch_size": told.get("batch", 8)}, "output_dir": name},
            record={"judge": {"name": judge}, "dataset": samples, "model": {}, "totals": {}, "defense": defense},
            **{key: told[key] for key in ("id",) if key in told},
            metrics=dict(summarize(scores, SCENARIOS).metrics),
        )

    return run


def test_runs_of_different_modes_are_compared_and_what_differs_is_named(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make("a", (2, 3), mode="typo"), make("b", (12, 13), mode="sd", batch=4)
    print_comparing(Comparing(runs=(first, second)))
    out = capsys.readouterr().out
    assert "image_mode" in out
    assert "sd" in out
    assert "differs: model.batch_size (1: 8; 2: 4)" in out
    assert "output_dir" not in out
    assert "+50.0 [" in out
    assert " 40 │       0 │" in out  # pairs and dropped


def test_a_text_that_stands_in_a_file_is_named_where_it_differs(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ("Be kind.", "Be strict.\nAlways.")
    print_comparing(Comparing(runs=tuple(make(text[:7], (2, 3), text=text) for text in texts)))
    assert "differs: defense.prompt.text (1: Be kind.; 2: Be strict. Always.)" in capsys.readouterr().out


def test_a_dataset_whose_files_were_changed_between_the_runs_is_named(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = make("a", (2, 3), shown="f" * 32), make("b", (12, 13), shown="e" * 32)
    print_comparing(Comparing(runs=(before, after, make("c", (2, 4), shown="d" * 32, mode="sd"))))
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "texts or pictures" in line]
    assert "(1: ffffffff; 2: eeeeeeee)" in told


def test_what_was_dropped_is_said_with_its_reason_and_what_it_could_do(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {("fraud", question): "failed" for question in range(20)}
    print_comparing(Comparing(runs=(make("a", (2, 3)), make("b", (12, 13), failed=failed))))
    out = capsys.readouterr().out
    assert "2 against 1: 20 dropped: failed in the second" in out
    assert "averages are without fraud: nothing was matched there" in out
    assert "lies between +20.0 and +70.0" in out  # fraud by -10 to +90, the other by +50


def test_runs_by_two_judges_are_refused(make: Make) -> None:
    runs = make("a", (2, 3), judge="strict"), make("b", (12, 13), judge="lenient")
    with pytest.raises(ConfigError, match=r"a: strict; .*b: lenient") as caught:
        print_comparing(Comparing(runs=runs))
    assert "across_judges=true" in str(caught.value)


def test_with_several_judges_each_is_compared_on_the_same_answers_and_the_ranking_is_shown(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = (
        make("a", (5, 5), answers="A", judge="strict"),
        make("b", (9, 9), answers="B", judge="strict"),
        make("b2", (2, 2), answers="B", judge="lenient"),  # named before the first's own copy
        make("a2", (4, 4), answers="A", judge="lenient"),
        make("b3", (16, 16), answers="B", judge="third"),
        make("a3", (1, 1), answers="A", judge="third"),
    )
    comparing = Comparing(runs=runs, across_judges=True)
    found = comparing.compared()
    assert [(one.first.number, one.second.number) for one in found] == [
        (1, 2), (4, 3), (6, 5), (2, 3), (1, 4), (2, 5), (1, 6),
    ]  # fmt: skip
    first, second = sensitivity(comparing.opened, found, ASR)
    assert first.judges == 0
    assert second.ranks == {"strict": 1, "lenient": 2, "third": 1}
    assert (second.holds, second.judges, second.significant) == (2, 3, 2)
    print_comparing(comparing)
    out = capsys.readouterr().out
    assert "holds under 2 of 3, significant under 2" in out
    assert "3 against 2 (lenient" in out


def test_runs_that_answer_alike_under_one_judge_both_stay_in_the_table(make: Make) -> None:
    runs = [make(name, (5, 5), answers="A", judge="strict") for name in ("a", "same")]
    runs += [make("a2", (4, 4), answers="A", judge="lenient"), make("b", (9, 9), judge="strict")]
    comparing = Comparing(runs=tuple(runs), across_judges=True)
    found = sensitivity(comparing.opened, comparing.compared(), ASR)
    assert [[run.number for run in one.runs.values()] for one in found] == [[1, 3], [2], [4]]
    assert found[2].ranks == {"strict": 1}
    assert found[1].judges == 1


def test_runs_that_share_nothing_are_refused_with_the_reason(make: Make, tmp_path: Path) -> None:
    first, second = make("a", (2, 3)), make("b", (1, 1))
    rows = [row("fraud", number, "safe") | {"question": "another"} for number in range(20)]
    save(second, rows, record={"judge": {"name": "refusal"}}, config={"judge": {"name": "refusal"}})
    with pytest.raises(DataError, match="20 not asked in the second, 20 another question under the same id"):
        Comparing(runs=(first, second)).compared()


def test_what_cannot_be_compared_is_said(make: Make, tmp_path: Path) -> None:
    run = make("a", (2, 3))
    with pytest.raises(ConfigError, match="did you mean asr"):
        print_comparing(Comparing(runs=(run, make("b", (1, 1))), of="asrr"))
    with pytest.raises(ConfigError, match="twice"):
        print_comparing(Comparing(runs=(run, run)))
    copies = [make(name, (1, 1), id="1") for name in ("c", "d")]
    with pytest.raises(DataError, match="are one run, copied"):
        print_comparing(Comparing(runs=(run, *copies)))
    with pytest.raises(DataError, match="are one run, copied"):
        columns(copies)
    with pytest.raises(DataError, match=r"has no results\.jsonl"):
        print_comparing(Comparing(runs=(run, tmp_path)))


def test_the_command_composes_its_settings(make: Make) -> None:
    from hydra import compose, initialize_config_dir

    first, second = make("a", (2, 3)), make("b", (1, 1))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("compare", [f"runs=[{first},{second}]", "of=refusal_rate"])
    comparing = build(config, Comparing)
    assert (comparing.runs, comparing.metric.name, comparing.across_judges) == ((first, second), "refusal_rate", False)
