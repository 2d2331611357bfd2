"""Every option of conf/ is composed and built: no YAML can rot. (Experiments: test_experiments.py.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsb.config import build
from mmsb.experiment import Experiment
from mmsb.paths import conf_dir
from tests.composing import GROUPS, complete, composed

OPTIONS = [f"{group}={path.stem}" for group in GROUPS for path in sorted((conf_dir() / group).glob("*.yaml"))]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_builds_and_has_a_word_of_explanation(option: str, tmp_path: Path) -> None:
    experiment = build(complete(composed(option), tmp_path), Experiment)
    assert experiment.model.name
    group, name = option.split("=")
    text = (conf_dir() / group / f"{name}.yaml").read_text()
    assert text.startswith("# ") or group == "scenario"


def test_the_settings_are_frozen(tmp_path: Path) -> None:
    experiment = build(complete(composed(), tmp_path), Experiment)
    with pytest.raises(AttributeError):
        experiment.output_dir = Path("elsewhere")  # type: ignore[misc]
