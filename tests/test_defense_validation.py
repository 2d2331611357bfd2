"""Guards say what they could not read, and settings that cannot be are refused before anything is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsb.defense.base import UNREADABLE
from mmsb.errors import ConfigError
from mmsb.types import Failure
from tests.conftest import Run
from tests.defending import PROMPT, SORRY, ask, ask_one, option, roles, target
from tests.endpoint import ChatServer, text_of


def muttering(text: str, image: bool) -> str:
    return "Hmm, who can say?" if "yes or no" in text else "answered"


@pytest.mark.parametrize("name", ["input_guard", "output_guard", "ocr_guard"])
@pytest.mark.parametrize(("unreadable", "text"), [("pass", "answered"), ("block", SORRY)])
def test_a_check_that_cannot_be_read_is_noted_and_leads_to_what_is_set(
    name: str, unreadable: str, text: str, tmp_path: Path
) -> None:
    with target(tmp_path, muttering) as (model, _):
        found = ask_one(model, option(name, unreadable=unreadable))
    assert found.text == text
    assert roles(found).count(UNREADABLE) == 1


def test_it_can_make_the_sample_a_failure(tmp_path: Path) -> None:
    with target(tmp_path, muttering) as (model, _):
        found = ask(model, option("input_guard", unreadable="fail"), PROMPT)["q"]
    assert isinstance(found, Failure)
    assert "who can say" in found.message


@pytest.mark.parametrize("reply", ["No.", "The answer is no, it is not", "yes"])
def test_a_clear_reply_is_no_unreadable_one(reply: str, tmp_path: Path) -> None:
    with target(tmp_path, lambda text, image: reply) as (model, _):
        found = ask_one(model, option("output_guard"))
    assert UNREADABLE not in roles(found)


def test_the_summary_counts_them_and_shows_one(mmsb: Run) -> None:
    with ChatServer(lambda messages: muttering(text_of(messages), False)) as server:
        endpoint = ("model=vllm", "model.name=x", f"model.base_url={server.url}")
        done = mmsb(*endpoint, "defense=input_guard", "scenario=fraud", "dataset.limit=3", "tracker=none")
    assert done.returncode == 0, done.stderr
    assert "unreadable checks: 3" in done.stdout
    said = done.stdout.partition("replies to its checks could not be read, e.g. ")[2].split("\n")[0]
    assert said == repr(muttering("yes or no", False))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("jpeg", {"strength": 500}, "from 1 to 95"),
        ("resize", {"strength": 2}, "from 0.001 to 1"),
        ("random_crops", {"strength": 1.5}, "from 0.001 to 1"),
        ("random_rotations", {"strength": 400}, "from 0.01 to 180"),
        ("jpeg", {"votes": 3}, "the same picture each time"),
        ("input_guard", {"question": "Is it bad?"}, "no place"),
        ("ecso", {"check": "Is it bad?"}, "no place for the answer"),
        ("ecso", {"retell": "Hints: {caption}"}, "no place for the query"),
        ("ecso", {"caption": " "}, "caption is empty"),
        ("eta", {"check": "Is {anwser} bad?"}, "no place for the answer"),
        ("eta", {"grade": "Grade it."}, "no place for the answer"),
        ("eta", {"begin": "Begin."}, "no place for the query"),
        ("mllm_protector", {"question": "Is it bad?"}, "no place for the answer"),
        ("mllm_protector", {"rewrite": "Write it again."}, "no place for the answer"),
        ("mllm_protector", {"refusal": ""}, "refusal is empty"),
        ("caption_then_answer", {"question": "{query}"}, "no place for the caption"),
        ("echosafe", {"recall": "{query}"}, "no place for the notes"),
        ("echosafe", {"reflect": "Is it safe?"}, "no place for the query"),
        ("adashield_adaptive", {"refine": "Better: {text}"}, "no place for the answer"),
        ("adashield_adaptive", {"text": ""}, "text is empty"),
        ("jailguard", {"refusal": " "}, "refusal is empty"),
        ("shieldlm", {"refusal": ""}, "refusal is empty"),
        ("ocr_guard", {"transcribe": ""}, "transcribe is empty"),
        ("output_guard", {"refusal": " "}, "is empty"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        option(name, **changes)


def test_an_empty_text_is_no_defense(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is empty"):
        option("safety_prompt", text_file=str(tmp_path / "empty.txt")).fingerprint()


def test_a_classifier_of_answers_is_refused_in_front_of_the_model(mmsb: Run) -> None:
    done = mmsb("defense=input_guard", "+judge@defense.input_guard.judge=harmbench", "dataset.limit=1", "tracker=none")
    assert done.returncode != 0
    assert "reads answers" in done.stderr


@pytest.mark.parametrize("name", ["ecso", "eta", "mllm_protector", "bluesuffix"])
def test_a_check_that_says_nothing_readable_is_counted_by_every_method(name: str, tmp_path: Path) -> None:
    """Else a defense whose checks never work looks like one that finds nothing."""
    with target(tmp_path, lambda text, image: "Hmm.") as (model, _):
        found = ask_one(model, option(name))
    assert roles(found).count(UNREADABLE) == 1
