"""python -m mmsb.models: the table is made of the presets, and the page in docs/ is up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mmsb import models
from tests.conftest import ROOT

PRESETS = models.presets


@pytest.fixture(scope="module", autouse=True)
def _built_once() -> Iterator[None]:
    """Every preset is composed once for all tests."""
    presets = models.presets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "presets", cache(lambda packages: list(presets(packages))))
        yield


def test_the_page_of_models_is_up_to_date(mmsb: Callable[..., Any], tmp_path: Path) -> None:
    ran = mmsb("markdown=models.md", module="mmsb.models")
    assert ran.returncode == 0, ran.stderr
    page = (tmp_path / "models.md").read_text(encoding="utf-8")
    assert page == (ROOT / "docs" / "models.md").read_text(encoding="utf-8"), (
        "run python -m mmsb.models markdown=docs/models.md"
    )


def test_the_table_names_licence_size_and_route(mmsb: Callable[..., Any]) -> None:
    ran = mmsb(module="mmsb.models")
    assert ran.returncode == 0, ran.stderr
    (line,) = [line for line in ran.stdout.splitlines() if "llama_3_2_vision_11b" in line]
    for cell in ("transformers", "meta-llama/Llama-3.2-11B-Vision-Instruct", "Llama 3.2 community", "10.67 B", "yes"):
        assert cell in line
    (line,) = [line for line in ran.stdout.splitlines() if " minigpt_v2 " in line]
    assert "converted" in line
    assert "openrouter" not in ran.stdout  # a preset without a model of its own


def test_the_page_names_source_and_proof_of_every_setting(mmsb: Callable[..., Any], tmp_path: Path) -> None:
    mmsb("markdown=models.md", module="mmsb.models")
    page = (tmp_path / "models.md").read_text(encoding="utf-8")
    told = [line for line in page.splitlines() if line.startswith("| minigpt_v2 | p")]
    assert [line.split(" | ")[1].partition(":")[0] for line in told] == [
        *("prompt", "picture", "protocol=authors", "protocol=demo")
    ]
    assert all(line.endswith("| yes |") for line in told)
    assert "eval_scripts/eval_vqa.py:59" in told[2]
    (read,) = [line for line in page.splitlines() if line.startswith("| cogvlm | protocol=demo")]
    assert read.endswith("| no: read only |")


def test_the_table_says_what_is_on_disk(
    mmsb: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "presets", PRESETS)  # a preset says what is there when it is built
    (tmp_path / "checkpoints/otter").mkdir(parents=True)
    (tmp_path / "checkpoints/otter/config.json").write_text("{}")
    (tmp_path / "checkpoints/sources").mkdir()
    (tmp_path / "checkpoints/sources/eva_vit_g.pth").write_bytes(b"")
    ran = mmsb(module="mmsb.models", HF_HOME=str(tmp_path))
    here = {line.split("│")[1].strip(): line.split("│")[-2].strip() for line in ran.stdout.splitlines() if "│" in line}
    assert here["otter"] == "ready"
    assert here["minigpt4"] == "1 of 4 files"
    assert here["shikra"] == "0 of 3 files"
    assert here["tiny"] == "ready"
