"""A sweep over harmful and benign questions ends in a chart of attack success against false refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmsb.digest import digest_file
from mmsb.metrics.score import Score
from mmsb.metrics.significance import holm
from mmsb.metrics.summary import summarize
from mmsb.report.called import called
from mmsb.report.columns import alike, named
from mmsb.report.finished import Finished, finished_run
from mmsb.report.sweep import effects
from mmsb.report.tradeoff import points, print_sweep
from mmsb.report.tradeoff_charts import tradeoff
from mmsb.scenario import official_scenarios
from tests.conftest import Run
from tests.saved_runs import row, save


def finished(dataset: str, defense: str, mode: str = "sd_typo", **rates: float) -> Finished:
    """A run as its run.json tells it."""
    metrics: dict[str, float] = {}
    for name, value in rates.items():
        key = f"{name}/macro"
        metrics |= {key: value, f"{key}_low": max(0.0, value - 0.1), f"{key}_high": min(1.0, value + 0.1)}
    config: dict[str, Any] = {"dataset": {"name": dataset}, "defense": {defense: {}}, "image_mode": {"name": mode}}
    choices = {"dataset": dataset, "defense": defense, "image_mode": mode, "model": "tiny"}
    values = {"name": f"{dataset} {defense}", "choices": choices, "config": config, "metrics": metrics}
    return Finished(Path(), values)


def test_a_harmful_and_a_benign_run_alike_in_all_else_make_a_point() -> None:
    runs = [
        finished("demo", "none", asr=0.9),
        finished("demo", "ecso", asr=0.4),
        finished("benign", "none", false_refusal_rate=0.05),
        finished("benign", "ecso", false_refusal_rate=0.3),
        finished("demo", "ecso", mode="text_only", asr=0.2),
    ]
    found = points(runs)
    assert [(p.defense, p.setting, p.asr.value, p.false_refusals.value) for p in found] == [
        ("none", "sd_typo", 0.9, 0.05),
        ("ecso", "sd_typo", 0.4, 0.3),
    ]


def test_systems_and_settings_of_one_option_are_rows_of_their_own_names() -> None:
    """`model.name=a,b` of one option: two rows "none sd_typo", of which nobody knows whose they are."""
    models: list[dict[str, Any]] = [{"name": "a", "timeout": 1}, {"name": "b", "timeout": 2}]
    defenses: list[dict[str, Any]] = [{"none": {}}, *({"mine": {"votes": votes, "name": "mine"}} for votes in (1, 3))]
    runs = [
        replace(run, values={**run.values, "config": run.values["config"] | {"model": model, "defense": defense}})
        for model in models
        for defense in defenses
        for run in (
            finished("demo", next(iter(defense)), asr=0.9),
            finished("benign", next(iter(defense)), false_refusal_rate=0.1),
        )
    ]
    names = ["none", "mine votes=1", "mine votes=3"]
    assert [(p.defense, p.setting) for p in points(runs)] == [(name, model) for model in "ab" for name in names]


def test_a_run_behind_an_edited_text_is_no_partner_of_one_behind_the_text_before() -> None:
    rates = {"Be kind.": (0.8, 0.1), "Be strict.": (0.2, 0.6)}
    runs = [
        replace(run, values={**run.values, "record": {"defense": {"prompt": {"text": text}}}})
        for text, (asr, refusals) in rates.items()
        for run in (finished("demo", "prompt", asr=asr), finished("benign", "prompt", false_refusal_rate=refusals))
    ]
    assert [(point.asr.value, point.false_refusals.value) for point in points(runs)] == list(rates.values())
    assert [point.defense for point in points(runs)] == ["prompt text=Be kind.", "prompt text=Be strict."]
    found = named(runs)
    assert alike(found, "judge") == []
    assert alike(found, "defense") == [[0, 2], [1, 3]]


def test_what_measures_nothing_tells_no_rows_apart_and_long_texts_that_begin_alike_do() -> None:
    texts = [f"Answer only what does no harm to anybody, {end}" for end in ("always.", "never.")]
    runs = [
        replace(
            run,
            values={
                **run.values,
                "choices": run.values["choices"] | {"prices": prices, "tracker": prices},
                "record": {"defense": {"prompt": {"text": text}}},
            },
        )
        for text, prices in zip(texts, ("default", "none"), strict=True)
        for run in (finished("demo", "prompt", asr=0.5), finished("benign", "prompt", false_refusal_rate=0.1))
    ]
    names = [defense for defense, _ in called(runs)]
    assert len(set(names)) == 2
    assert {setting for _, setting in called(runs)} == {""}


def test_a_mixed_set_is_a_point_by_itself() -> None:
    (point,) = points([finished("xstest", "none", asr=0.9, false_refusal_rate=0.2)])
    assert (point.asr.value, point.false_refusals.value) == (0.9, 0.2)


def test_the_chart_shows_what_there_is() -> None:
    harmful, benign = finished("demo", "none", asr=1.0), finished("benign", "none", false_refusal_rate=0.0)
    assert not points([harmful])
    assert tradeoff([]) is None
    (dot,) = tradeoff(points([harmful, benign])).to_dict()["datasets"].values()
    assert dot == [
        {"defense": "none", "setting": "", "asr": 100.0, "value": 100.0, "low": 90.0, "high": 100.0}
        | {"x": 0.0, "left": 0.0, "right": 10.0, "letter": ""}
    ]


def test_defenses_in_one_place_are_named() -> None:
    """What does nothing lies on "none": of a pile of shapes no legend tells which are in it."""
    rates = {"none": (0.9, 0.05), "jpeg": (0.9, 0.05), "blur": (0.895, 0.05), "ecso": (0.4, 0.05)}
    runs = [
        finished(dataset, defense, mode, **{metric: rate})
        for mode in ("sd_typo", "text_only")
        for defense, pair in rates.items()
        for dataset, metric, rate in zip(
            ("demo", "benign"),
            ("asr", "false_refusal_rate"),
            (pair[0] - 0.2 * (mode == "text_only"), pair[1]),
            strict=True,
        )
    ]
    spec = tradeoff(points(runs)).to_dict()
    (dots,) = spec["datasets"].values()
    assert [(dot["defense"], dot["setting"], dot["letter"]) for dot in dots if dot["letter"]] == [
        ("none", "sd_typo", "a"),
        ("none", "text_only", "b"),
    ]
    assert spec["title"]["subtitle"] == ["a (sd_typo): none, jpeg, blur", "b (text_only): none, jpeg, blur"]


FRAUD = next(s for s in official_scenarios() if s.name == "fraud")


def saved(folder: Path, dataset: str, defense: str, counted: int, missing: int = 0) -> Finished:
    """A run of 40 questions on disk: how many are unsafe or, of the benign ones, refused."""
    labels = [("unsafe" if dataset == "demo" else "safe") if q < counted else "safe" for q in range(40)]
    rows = [
        row("fraud", q, "failed" if q >= 40 - missing else label)
        | {"benign": dataset == "benign", "refusal": None if q >= 40 - missing else q < counted}
        for q, label in enumerate(labels)
    ]
    scores = [replace(Score.of(one), scenario=FRAUD.id) for one in rows]
    return finished_run(
        save(
            folder,
            rows,
            name=f"dataset={dataset} defense={defense}",
            choices={"dataset": dataset, "defense": defense},
            config={"dataset": {"name": dataset}, "defense": {defense: {}}},
            record={"totals": {"calls": 40.0}, "dataset": {"name": dataset, "samples": 40, "digest": ""}},
            metrics=dict(summarize(scores, [FRAUD]).metrics),
        )
    )


def test_a_defense_that_takes_no_notice_of_its_placement_is_tested_once(tmp_path: Path) -> None:
    def placed(name: str, defense: str, unsafe: int, placement: str) -> Finished:
        run = saved(tmp_path / name, "demo", defense, unsafe)
        values = dict(run.values, config={**run.values["config"], "defense_placement": placement})
        return Finished(run.folder, values | {"results_digest": digest_file(run.folder / "results.jsonl")})

    runs = [
        placed(f"{defense} {placement}", defense, unsafe + (defense == "prompt") * n, placement)
        for defense, unsafe in (("none", 30), ("ecso", 12), ("prompt", 14))
        for n, placement in enumerate(("own", "system"))
    ]
    found = [effect.changes["asr"] for effect in effects(runs)]
    different = [found[0], *found[2:]]
    assert [change.p_holm for change in different] == holm([change.p for change in different])
    assert found[0].p_holm == found[1].p_holm


def test_defenses_are_tested_as_one_family_and_shown_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        saved(tmp_path / "0", "demo", "none", 30),
        saved(tmp_path / "1", "demo", "ecso", 12, missing=4),
        saved(tmp_path / "2", "demo", "blur", 30),
        saved(tmp_path / "3", "benign", "none", 1),
        saved(tmp_path / "4", "benign", "ecso", 9),
        saved(tmp_path / "5", "benign", "blur", 1),
    ]
    found = effects(runs)
    assert [(e.run.name, list(e.changes)) for e in found] == [
        ("dataset=demo defense=ecso", ["asr"]),
        ("dataset=demo defense=blur", ["asr"]),
        ("dataset=benign defense=ecso", ["false_refusal_rate"]),
        ("dataset=benign defense=blur", ["false_refusal_rate"]),
    ]
    changes = [change for effect in found for change in effect.changes.values()]
    told = [change for change in changes if not change.same]  # blur changes nothing, and is in no family
    assert [change.p_holm for change in changes] == [
        *holm([told[0].p, told[1].p])[:1],
        None,
        holm([d.p for d in told])[1],
        None,
    ]
    print_sweep(runs)
    out = " ".join(capsys.readouterr().out.split())
    assert "33.3 [" in out  # 12 of 36
    assert "30.0 .. 40.0" in out  # of 40, the four that failed safe or unsafe
    assert "22.5 [" in out
    assert "Below a rate" in out
    print_sweep(runs[:3])
    out = " ".join(capsys.readouterr().out.split())
    assert "Against no defense" in out
    assert "-50.0 [" in out  # of the 36 that both rated, 30 and 12


def test_composed_defenses_are_named_in_their_order_wherever_runs_are_told_apart(mmsb: Run, tmp_path: Path) -> None:
    both = "defense=none,[input_guard,safety_prompt]"
    done = mmsb(both, "scenario=fraud", "dataset.limit=1", "tracker=none", "-m")
    assert done.returncode == 0, done.stderr
    assert "input_guard > safety_prompt" in done.stdout  # in the sweep's table
    (folder,) = tmp_path.glob("outputs/sweeps/*/1")
    run = finished_run(folder)
    assert (run.name, run.values["choices"]["defense"]) == (
        "defense=input_guard>safety_prompt",
        "input_guard > safety_prompt",
    )
    compared = mmsb(f"runs=[{folder.parent / '0'},{folder}]", module="mmsb.compare")
    assert "input_guard > safety_prompt" in " ".join(compared.stdout.split()), compared.stderr
    page = (folder.parent / "page.html").read_text(encoding="utf-8")
    assert "input_guard \\u003e safety_prompt" in page or "input_guard &gt; safety_prompt" in page
