"""Whether a run may stand beside the paper: every difference is a reason, and only a run without any is comparable."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmsb.comparable import comparable, heading, sentence
from mmsb.config import build
from mmsb.dataset.mm_safetybench import FIELDS
from mmsb.experiment import Experiment
from mmsb.font import LIBERATION, font_digest
from mmsb.metrics.summary import Score, summarize
from mmsb.notes import TOTALS
from mmsb.paths import conf_dir
from mmsb.report.published import published, published_asr, remark
from mmsb.run import Run
from mmsb.scenario import official_scenarios
from mmsb.terminal import print_summary

EVALUATION = """
gpt_query_template_all = "Text: {prediction}"
def judge(scenario):
    if scenario == '08-Political_Lobbying':
        template = gpt_query_template_all
    else:
        template = gpt_query_template_all
"""
Decided = Callable[..., tuple[str, ...]]


@pytest.fixture
def decided(tmp_path: Path, authors_data: Path) -> Decided:
    """The reasons why a run of LLaVA-1.5 on the authors' question files, changed so, is not comparable."""
    return deciding(tmp_path, authors_data)


@pytest.fixture
def decided_of_others(tmp_path: Path) -> Decided:
    """The same on as many questions as the benchmark has, in other words."""
    folder = tmp_path / "others/processed_questions"
    folder.mkdir(parents=True)
    for name, count in published()["counts"].items():
        records = {str(n): dict.fromkeys(FIELDS, f"question {n}") for n in range(count)}
        (folder / f"{name}.json").write_text(json.dumps(records))
    return deciding(tmp_path, folder.parent)


def deciding(tmp_path: Path, data: Path) -> Decided:
    (tmp_path / "evaluation.py").write_text(EVALUATION)
    told = [
        *("dataset=mm_safetybench", f"dataset.root={data}", "image_mode=text_only", "model=llava_1_5_7b"),
        *("judge=official", "judge.model.name=gpt-4", f"judge.evaluation_file={tmp_path / 'evaluation.py'}"),
    ]

    def decide(*overrides: str, **changes: Any) -> tuple[str, ...]:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            mine = told if overrides[:1] != ("dataset=demo",) else ["image_mode=text_only"]
            config = compose("config", overrides=[*mine, "tracker=none", *overrides], return_hydra_config=True)
            choices = dict(config.hydra.runtime.choices)
            with_hydra_gone = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            experiment = build(with_hydra_gone, Experiment)
        failed = changes.pop("failed", 0)
        changed = dataclasses.replace(experiment, **changes)
        counts = Counter(question.scenario for question in changed.questions())
        return comparable(changed, choices, counts, failed).reasons

    return decide


def test_a_run_of_everything_that_the_paper_did_is_comparable(decided: Decided) -> None:
    assert decided() == ()


@pytest.mark.parametrize(
    ("overrides", "reasons"),
    [
        (["dataset.limit=5"], ["data: limit 5, 65 questions instead of 1,680, 13 scenarios differ"]),
        (["dataset.subset=tiny"], ["data: subset tiny, 168 questions instead of 1,680, 13 scenarios differ"]),
        (["scenario=fraud"], ["data: 154 questions instead of 1,680, 12 scenarios differ"]),
        (["defense=safety_prompt"], ["defense: safety_prompt"]),
        (["protocol=greedy"], ["protocol: greedy"]),
        (["protocol=demo"], ["protocol: demo", "settings: "]),
        (["model.max_new_tokens=64"], ["settings: model.max_new_tokens changed from the preset"]),
        (["model.template='{{messages}}'"], ["settings: model.template changed from the preset"]),
        (["model.fit.how=crop"], ["settings: model.fit changed from the preset"]),
        (["+model.generation.num_beams=5"], ["settings: model.generation changed from the preset"]),
        (["model.name_or_path=someone/llava"], ["settings: model.name_or_path changed from the preset"]),
        (["model.adapter=/tuned"], ["settings: model.adapter changed from the preset"]),
        (["model=qwen3_vl_8b"], ["model: qwen3_vl_8b is not in the paper"]),
        (["judge.model.name=llama-3"], ["judge: llama-3 with the authors' prompts, the paper's is GPT-4"]),
        (["judge.model.name=gpt-4o-mini"], ["judge: gpt-4o-mini with the authors' prompts, the paper's is GPT-4"]),
        (["judge.model.name=openai/gpt-4-0613"], []),
        (["image_mode.question=rephrased"], ["image mode: text_only asks rephrased with None"]),
        (["image_mode=typo"], ["pictures: typed in LiberationSans-Regular.ttf, not in the authors' ARIAL.TTF"]),
        (["model.device=cpu", "model.batch_size=3", "model.dtype=float16"], []),
    ],
)
def test_every_difference_is_a_reason(decided: Decided, overrides: list[str], reasons: list[str]) -> None:
    found = decided(*overrides)
    assert len(found) >= len(reasons)
    for ours, expected in zip(found, reasons, strict=False):
        assert ours.startswith(expected)
    if not reasons:
        assert found == ()


def test_other_words_a_defense_failures_and_another_judge_are_reasons(decided_of_others: Decided) -> None:
    words = "the questions (changed) are not those of the authors' files, by their digest"
    phrases = "the key phrases are not those of the authors' files, by their digest"
    assert decided_of_others() == (f"data: {words}, {phrases}",)
    assert decided_of_others("defense=safety_prompt", "judge.model.name=llama-3", failed=3)[1:] == (
        "defense: safety_prompt",
        "judge: llama-3 with the authors' prompts, the paper's is GPT-4",
        "answers: 3 samples failed",
    )


def test_the_demo_run_says_what_it_is(decided: Decided) -> None:
    assert decided("dataset=demo", "model=tiny", "judge=refusal") == (
        "data: demo is not the benchmark",
        "model: tiny is not in the paper",
        "judge: refusal, the paper's is GPT-4 with the authors' prompts (judge=official)",
    )
    assert decided(failed=3) == ("answers: 3 samples failed",)
    assert decided(failed=1) == ("answers: 1 sample failed",)


def test_a_question_that_was_edited_is_found(decided: Decided, authors_data: Path, tmp_path: Path) -> None:
    changed = tmp_path / "copy/processed_questions"
    changed.mkdir(parents=True)
    for path in (authors_data / "processed_questions").glob("*.json"):
        records = json.loads(path.read_text(encoding="utf-8"))
        if path.stem == "06-Fraud":
            records["7"]["Changed Question"] += " "
        (changed / path.name).write_text(json.dumps(records))
    (reason,) = decided(f"dataset.root={tmp_path / 'copy'}")
    assert reason.endswith("the questions (changed) are not those of the authors' files, by their digest")
    (changed.parent / "manifest.json").write_text("{}")
    reasons = decided(f"dataset.root={tmp_path / 'copy'}", "image_mode=typo")
    assert any("made with mmsb.create" in reason for reason in reasons)


def test_text_typed_in_the_authors_font_is_comparable(decided: Decided, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsb.comparable.is_the_authors", lambda path: font_digest(path) == font_digest(THEIRS))
    assert decided("image_mode=typo") == ()
    assert decided("image_mode=typo", "image_mode.font.size=30") == (
        "pictures: 30 pixel letters in 1024 pixels, not 90 in 1024",
    )


THEIRS = LIBERATION  # Arial itself is not free: another file takes its place


def test_the_sentence_and_the_heading_name_every_difference() -> None:
    record = {"comparable": False, "reasons": ["judge: refusal", "data: limit 5", "data: subset tiny"]}
    assert sentence(record) == "Not comparable with the paper: judge: refusal; data: limit 5; data: subset tiny."
    assert heading(record) == "paper (other judge, data)"
    assert heading({"comparable": True, "reasons": []}) == "paper"


def test_the_printed_average_that_its_rows_do_not_give_is_said() -> None:
    choices = {"dataset": "mm_safetybench", "model": "minigpt4", "image_mode": "sd"}
    rates = dict(published_asr(choices))
    printed = rates.pop("macro")
    assert (printed, round(sum(rates.values()) / 13, 2)) == (41.82, 36.85)
    assert "prints 41.82 as the average; its 13 rows give 36.85" in remark(choices)
    assert not remark({**choices, "image_mode": "typo"})
    assert sum(published()["counts"].values()) == 1680


def test_every_run_says_it_and_keeps_it(mmsb: Callable[..., Any], tmp_path: Path) -> None:
    ran = mmsb("scenario=fraud", "dataset.limit=1", "tracker=none", "image_mode=text_only")
    assert "Not comparable with the paper: data: demo is not the benchmark;" in ran.stdout
    (path,) = tmp_path.glob("outputs/runs/*/run.json")
    record = json.loads(path.read_text())["record"]["comparable"]
    assert record["comparable"] is False
    assert record["reasons"][0] == "data: demo is not the benchmark"


def test_published_numbers_stand_under_a_heading_that_names_the_difference(capsys: pytest.CaptureFixture[str]) -> None:
    choices = {"dataset": "mm_safetybench", "model": "minigpt4", "image_mode": "sd", "judge": "refusal"}
    scores = [Score(scenario.id, "1", "unsafe", False) for scenario in official_scenarios()]
    record: dict[str, Any] = {"dataset": {"samples": 13}, "totals": dict.fromkeys(TOTALS, 13)}
    shown = {}
    for name, reasons in (("same", []), ("other", ["judge: refusal", "data: limit 1"])):
        record["comparable"] = {"comparable": not reasons, "reasons": reasons}
        print_summary(Run(name, Path(), choices, {}, record), summarize(scores, official_scenarios()))
        shown[name] = " ".join(capsys.readouterr().out.split())
    assert "┃ paper ┃" in shown["same"]
    assert "┃ paper (other judge, data) ┃" in shown["other"]
    for out in shown.values():
        assert " 41.8 " in out
        assert "paper: the paper prints 41.82 as the average; its 13 rows give 36.85" in out
    assert "Not comparable with the paper: judge: refusal; data: limit 1." in shown["other"]
