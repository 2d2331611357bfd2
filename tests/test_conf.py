"""Every option of conf/ is composed and built: no YAML can rot. (Experiments: test_experiments.py.)"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from omegaconf import Container, OmegaConf

from mmsb.config import build
from mmsb.experiment import Experiment
from mmsb.paths import conf_dir
from tests.composing import COPIES, GROUPS, complete, composed, copy_of

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


def test_a_fast_copy_is_omegaconfs_own_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed("experiment=paper_main", "defense=[blur,ecso]")
    OmegaConf.set_readonly(config.model, True)
    copied = copy_of(config, None)
    for kind, own in COPIES.items():
        monkeypatch.setattr(kind, "__deepcopy__", own)
    nodes = list(zip(*(inside(one) for one in (config, copy.deepcopy(config), copied)), strict=True))
    assert len(nodes) > 300
    for node, expected, found in nodes:
        assert type(expected) is type(found)
        assert expected._metadata == found._metadata
        assert node is not found
        assert node._metadata is not found._metadata
        assert node._metadata.flags is not found._metadata.flags or found._metadata.flags is None
        assert node._metadata.resolver_cache is not found._metadata.resolver_cache
        assert found._parent is None or found._parent._get_node(found._key()) is found
        assert isinstance(found, Container) or node._value() == found._value()


def inside(node: Any) -> Iterator[Any]:
    """A node and all nodes in it."""
    yield node
    content = node.__dict__.get("_content")
    for part in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from inside(part)


def test_every_option_has_a_word_of_explanation() -> None:
    for group in set(GROUPS) - {"scenario"}:
        for path in (conf_dir() / group).glob("*.yaml"):
            assert path.read_text().startswith("# "), path


def test_the_settings_are_frozen(tmp_path: Path) -> None:
    experiment = build(complete(composed(), tmp_path), Experiment)
    with pytest.raises(AttributeError):
        experiment.output_dir = Path("elsewhere")  # type: ignore[misc]
