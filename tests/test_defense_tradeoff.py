"""A sweep over harmful and benign questions ends in a plot of attack success against false refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from mmsb.report.finished import Finished
from mmsb.report.tradeoff import draw_tradeoff, points


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


def test_a_mixed_set_is_a_point_by_itself() -> None:
    (point,) = points([finished("xstest", "none", asr=0.9, false_refusal_rate=0.2)])
    assert (point.asr.value, point.false_refusals.value) == (0.9, 0.2)


def test_the_plot_shows_what_there_is(tmp_path: Path) -> None:
    harmful, benign = finished("demo", "none", asr=1.0), finished("benign", "none", false_refusal_rate=0.0)
    assert not points([harmful])
    path = draw_tradeoff(points([harmful, benign]), tmp_path)
    assert path == tmp_path / "tradeoff.png"
    with Image.open(path) as image:
        image.load()
        assert len(set(image.convert("L").tobytes())) > 20
