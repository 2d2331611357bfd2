"""Fixtures: a command in this process, in an empty folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import DictConfig

from mmsb.__main__ import main
from mmsb.cli import run_command


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and errors for people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`python -m mmsb ...` in this process, in an empty folder."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["mmsb", *arguments])
        code = main()
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def composed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[list[DictConfig], Done]]:
    """The configurations that a command would run, without running them."""

    def run(*arguments: str, name: str = "config") -> tuple[list[DictConfig], Done]:
        seen: list[DictConfig] = []
        code = run_command(name, seen.append, ["tracker=none", *arguments] if name == "config" else arguments)
        captured = capsys.readouterr()
        return seen, Done(code, captured.out, captured.err)

    return run


Composed = Callable[..., tuple[list[DictConfig], Done]]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of groups of the user's own."""
    folder = tmp_path / "own"
    for name, text in {
        "model/mine.yaml": "defaults:\n  - tiny\n",
        "defense/kind.yaml": "kind:\n  _target_: mmsb.defense.prompt.PromptDefense\n  name: kind\n  text: Be kind.\n",
        "experiment/both.yaml": "# @package _global_\ndefaults:\n  - override /image_mode: [sd, typo]\n",
        "experiment/flat.yaml": "# @package _global_\ndefense:\n  text_file: mine.txt\n",
        "experiment/named.yaml": "# @package _global_\ndefaults:\n  - override /defense: safety_prompt\n"
        "defense:\n  safety_prompt:\n    placement: after\n",
        "experiment/swept.yaml": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      image_mode: text_only,[sd,typo]\n",
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  callbacks:\n    x:\n      _target_: os.system\n",
        "experiment/key.yaml": "# @package _global_\nmodel:\n  template: sk-abcdefghijklmnopqrstuvwx\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder
