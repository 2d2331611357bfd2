"""The worked examples of docs/own_defense.md and docs/own_judge.md do what the pages say."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmsb.errors import ConfigError
from mmsb.types import Verdict
from tests.conftest import ROOT, Run
from tests.defending import ask_one, target
from tests.documented import SHELL, blocks
from tests.endpoint import ChatServer, Messages, text_of
from tests.judging import answer, verdicts

DOCS = ROOT / "docs"
DEFENSES, JUDGES = blocks(DOCS / "own_defense.md"), blocks(DOCS / "own_judge.md")
FILES = {block.title: block.text for block in (*DEFENSES, *JUDGES) if block.title}
DEFENSE, JUDGE, RUBRIC = FILES["my_defenses.py"], FILES["my_judges.py"], FILES["mine.txt"]
[TEST] = [block.text for block in DEFENSES if block.text.startswith("def test_")]
[OPTION] = [block.text for block in DEFENSES if block.language == "yaml" and not block.title]
[COMMAND] = [words[2:] for block in DEFENSES if block.test for words in block.commands]
JUDGE_COMMANDS = [
    words[2:] for block in JUDGES if block.language == SHELL for words in block.commands if "mmsb.review" not in words
]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The examples as files of a user's own, named as the guide names them."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("my_defenses", "my_judges"):
        sys.modules.pop(name, None)


def test_the_test_of_the_defense_passes(packages: Path) -> None:
    from my_defenses import Restate  # type: ignore[import-not-found]

    space: dict[str, Any] = {"target": target, "ask_one": ask_one, "Restate": Restate}
    exec(TEST, space)
    space["test_restate_puts_the_restatement_first"](packages)


def test_the_command_runs_the_defense_from_a_package_of_ones_own(packages: Path, mmsb: Run) -> None:
    with ChatServer(lambda messages: "restated" if "In one sentence" in text_of(messages) else "answered") as server:
        endpoint = ("model=vllm", "model.name=x", f"model.base_url={server.url}")
        done = mmsb(*COMMAND[1:], *endpoint, "scenario=fraud", "dataset.limit=1", "tracker=none")
    assert done.returncode == 0, done.stderr
    (path,) = packages.glob("outputs/runs/*/results.jsonl")
    row = json.loads(path.read_text())
    assert (row["response"], row["calls"]) == ("answered", 2)
    assert row["prompt"].startswith("restated\n")
    assert json.loads(path.with_name("run.json").read_text())["choices"]["defense"] == "restate"


def test_the_judge_judges(packages: Path) -> None:
    from my_judges import Short  # type: ignore[import-not-found]

    long, short = verdicts(Short(), [answer("word " * 40), answer("No.")], packages / "store")
    assert (long.label, short.label) == ("unsafe", "safe")
    [strict] = verdicts(Short(words=1), [answer("two words")], packages / "store")
    assert strict.label == "unsafe"


def test_the_yaml_of_the_defense_names_the_class() -> None:
    assert yaml.safe_load(OPTION)["restate"]["_target_"].endswith(".Restate")


@pytest.mark.parametrize(
    ("number", "label", "asked"),
    [(0, "unsafe", True), (1, "unsafe", True), (2, "safe", False)],
)
def test_the_commands_judge_a_run(number: int, label: str, asked: bool, packages: Path, mmsb: Run) -> None:
    module, *words = JUDGE_COMMANDS[number]

    def reply(messages: Messages) -> str:
        return "unsafe" if RUBRIC.strip() in text_of(messages) else "Ask at the town hall first."

    with ChatServer(reply) as server:
        there = ("model=vllm", "model.name=x", f"model.base_url={server.url}")
        judge = (f"judge.model.base_url={server.url}", "judge.model.api_key_env=null") if asked else ()
        done = mmsb(*words, *there, *judge, "scenario=fraud", "dataset.limit=1", "tracker=none", module=module)
    assert done.returncode == 0, done.stderr
    (path,) = packages.glob("outputs/runs/*/results.jsonl")
    assert json.loads(path.read_text())["label"] == label
    told = [text_of(request["messages"]) for request in server.requests]
    assert any(RUBRIC.strip() in text for text in told) is asked
    assert ("How" in json.dumps(told) and "<question-" in json.dumps(told)) is (number == 1)  # mine.yaml shows it


def test_the_command_puts_the_judges_into_a_panel(packages: Path, mmsb: Run) -> None:
    module, *words = JUDGE_COMMANDS[3]
    long = "Ask at the town hall first, and take with you whatever the clerk named. " * 2 + "Then wait for the letter."
    long = f"{long} It comes in a week, or else you may call the office on any morning."
    with ChatServer(lambda messages: "unsafe" if RUBRIC.strip() in text_of(messages) else long) as server:
        there = ("model=vllm", "model.name=x", f"model.base_url={server.url}")
        second = "judge.members.second.model"
        judge = (f"{second}.base_url={server.url}", f"{second}.api_key_env=null")
        done = mmsb(*words, *there, *judge, "scenario=fraud", "dataset.limit=1", "tracker=none", module=module)
    assert done.returncode == 0, done.stderr
    (path,) = packages.glob("outputs/runs/*/results.jsonl")
    said = json.loads(path.read_text())["judge_details"]["member_verdicts"]
    assert {member: said[member]["label"] for member in ("second", "third")} == {"second": "unsafe", "third": "unsafe"}


def test_the_command_calibrates_the_judge(packages: Path, mmsb: Run) -> None:
    module, *words = JUDGE_COMMANDS[4]
    done = mmsb(*words, module=module)
    assert done.returncode == 0, done.stderr
    assert "short against labels" in done.stdout


@pytest.mark.parametrize(
    "given",
    [{"label": True}, {"score": math.nan}, {"score": 7}, {"score": "1"}, {"refusal": "no"}, {"comprehended": 1}],
)
def test_a_judge_gives_no_verdict_that_tables_do_not_know(given: dict[str, Any]) -> None:
    """An answer with a label of one's own would be in no count, and the others would be the rate."""
    with pytest.raises(ConfigError, match=f"a Verdict's {next(iter(given))} is "):
        Verdict(**{"label": "safe", **given})
