"""What README and docs tell a reader to type is typed here; what they link to is there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from omegaconf import DictConfig

from mmsb.cli import run_command
from mmsb.config import TARGET_PACKAGES, build
from mmsb.hydra_app import Before, CheckedHydra, Planned
from mmsb.preflight.parts import missing, without_hydra
from tests.conftest import ROOT, run_in
from tests.documented import LANGUAGES, PAGES, SHELL, Block, blocks
from tests.endpoint import ChatServer
from tests.readers import GIVEN, endpoint

ALL = {path: blocks(path) for path in PAGES}
CONFIGS = {"mmsb": "config", "mmsb.judge": "rejudge"}  # of the others: the command's own name
SHORT = ("scenario=fraud", "dataset.limit=1", "tracker=none")  # of every evaluation that a reader starts here


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def having(how: str) -> list[Path]:
    return [path for path, found in ALL.items() if any(one.language == SHELL and one.how == how for one in found)]


def test_every_block_says_what_it_is() -> None:
    plain = [one.where for found in ALL.values() for one in found if one.language not in LANGUAGES]
    assert plain == [], "name the block's language: bash for what a reader types, text for what comes out"
    shown = [one for found in ALL.values() for one in found if one.language == "text"]
    typed = [one.where for one in shown if re.search(r"^(\$ )?python -m mmsb[^<]*$", one.text, re.MULTILINE)]
    assert typed == [], "what a reader types stands in a block of bash, which is run"


def test_what_another_test_runs_is_read_by_it() -> None:
    for block in (one for found in ALL.values() for one in found if one.test):
        text = (ROOT / str(block.test)).read_text(encoding="utf-8")
        said = [words[2] for words in block.commands if words[:2] == ["python", "-m"]]
        assert all(name in text or name.removeprefix("mmsb.") in text for name in said), block.where


@pytest.mark.parametrize("page", having("composed"), ids=named)
def test_what_is_not_run_has_settings_that_are_known_complete_and_of_their_kinds(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ready(page, tmp_path))
    monkeypatch.setattr(CheckedHydra, "get_mode", mode)
    for block in (one for one in ALL[page] if one.language == SHELL and one.how == "composed"):
        for words in block.commands:
            module, *given = words[words.index("-m") + 1 :]
            assert module.partition(".")[0] == "mmsb", f"{block.where}: say why this cannot be typed: {words}"
            planned: list[Planned] = []
            run_command(CONFIGS.get(module, module.removeprefix("mmsb.")), print, given, planning(planned))
            assert planned, f"{block.where}: {words}\n{capsys.readouterr().err}"
            ends = {id(run): run for run in (planned[0], planned[-1])}.values()
            for config in (without_hydra(run.compose()) for run in ends):
                assert not missing(config), f"{block.where}: {words}"
                build(config, object, (*TARGET_PACKAGES, *config.get("trusted_packages", ())))


def mode(hydra: CheckedHydra, name: str, overrides: list[str]) -> Any:
    """Hydra's own composes everything once more to see whether a file asks for a sweep; only experiments do."""
    return Hydra.get_mode(hydra, name, overrides) if "experiment=" in str(overrides) else None


def ready(page: Path, folder: Path) -> Path:
    """The folder, with what the page's reader has in it."""
    if given := GIVEN.get(named(page)):
        given(folder)
    return folder


def planning(planned: list[Planned]) -> Before:
    """Notes the runs that would start, and starts none."""

    def before(config: DictConfig, runs: Sequence[Planned]) -> bool:
        planned.extend(runs)
        return False

    return before


@pytest.mark.parametrize("page", having("run"), ids=named)
def test_a_page_can_be_followed_word_for_word(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    ready(page, tmp_path)
    with ChatServer(endpoint) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "of-a-test")
        for block in ALL[page]:
            follow(block, tmp_path)


def follow(block: Block, folder: Path) -> None:
    """Do with a block what its reader does."""
    if block.title:
        (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.title).write_text(block.text, encoding="utf-8")
    elif block.language == SHELL and block.how == "run":
        for number, words in enumerate(block.commands, 1):
            code, told = typed(words, folder)
            assert code == (block.code if number == len(block.commands) else 0), f"{block.where}: {words}\n{told}"


def typed(words: list[str], folder: Path) -> tuple[int, str]:
    """Type a command; DATE is the name of the last folder that was made there."""
    if words[0] == "export":
        for name, _, value in (word.partition("=") for word in words[1:]):
            os.environ[name] = os.path.expandvars(value)
        return 0, ""
    words = [last(os.path.expandvars(word), folder) for word in words]
    if words[:2] == ["python", "-m"]:
        words = words[2:]
    module, *given = words
    if module.partition(".")[0] != "mmsb":
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    else:
        done = run_in(folder, *given, *(shorter(given) if module == "mmsb" else ()), module=module)
    return done.returncode, done.stdout + done.stderr


def shorter(given: list[str]) -> list[str]:
    """What is added to an evaluation so that a test ends: one question, and no record in MLflow."""
    names = {word.partition("=")[0] for word in given}
    names |= {"dataset.limit"} if "experiment" in names else set()
    names |= {"dataset.limit", "scenario"} if "budget.calls" in names else set()  # which counts them
    return [word for word in SHORT if word.partition("=")[0] not in names]


def last(word: str, folder: Path) -> str:
    """The word, with the newest folder's name in place of each DATE."""
    while "/DATE" in word:
        start = re.search(r"([^\s=,\[]*)/DATE", word)
        assert start
        made = sorted((folder / start[1]).iterdir(), key=lambda path: path.stat().st_mtime)
        word = word.replace(start[0], f"{start[1]}/{made[-1].name}")
    return word
