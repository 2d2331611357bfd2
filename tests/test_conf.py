"""Every option of conf/ is composed and built: no YAML can rot. (Experiments: test_experiments.py.)"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import pytest

from mmsb.config import build
from mmsb.experiment import Experiment
from mmsb.paths import conf_dir
from tests.composing import GROUPS, complete, composed

LOOKS_AT_PICTURES = {f"judge={name}" for name in ("llavaguard", "shieldgemma_2")}  # in front of a model only
OPTIONS = [[f"{group}={path.stem}" for path in sorted((conf_dir() / group).glob("*.yaml"))] for group in GROUPS]
# Composing is what takes time, so each configuration tries one option of every group that still has one.
TOGETHER = [
    [option for option in options if option and option not in LOOKS_AT_PICTURES] for options in zip_longest(*OPTIONS)
]
TOGETHER += [["defense=input_guard", f"+judge@defense.input_guard.{option}"] for option in sorted(LOOKS_AT_PICTURES)]


@pytest.mark.parametrize("options", TOGETHER, ids=" ".join)
def test_every_option_builds(options: list[str], tmp_path: Path) -> None:
    assert build(complete(composed(*options), tmp_path), Experiment).model.name


def test_what_tests_remember_of_a_composition_is_what_hydra_composes(tmp_path: Path) -> None:
    lines = (
        ("judge=wildguard", "dataset.limit=3"),
        ("experiment=paper_main", "tracker=none"),
        ("defense=[blur,ecso]", "defense.ecso.name=x", "+budget.x=3", "~judge"),
        ("model=vllm", "model.name=a", "judge=rubric", "judge.model.name=b"),
    )
    for line in lines:
        # Nothing is remembered where a folder of a user's is looked at.
        expected = complete(composed(*line, f"hydra.searchpath=[file://{tmp_path}]"), tmp_path)
        for limit in (1, 2, 1):
            expected.dataset.limit = limit
            assert complete(composed(*line, f"dataset.limit={limit}"), tmp_path) == expected


def test_every_option_has_a_word_of_explanation() -> None:
    for group in set(GROUPS) - {"scenario"}:
        for path in (conf_dir() / group).glob("*.yaml"):
            assert path.read_text().startswith("# "), path


def test_the_settings_are_frozen(tmp_path: Path) -> None:
    experiment = build(complete(composed(), tmp_path), Experiment)
    with pytest.raises(AttributeError):
        experiment.output_dir = Path("elsewhere")  # type: ignore[misc]
