"""Guards that see pictures, as checks in a defense, through the command: what they were shown, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmsb.paths import conf_dir
from tests.conftest import Run
from tests.endpoint import ChatServer, text_of

REFUSAL = "I am sorry, but I cannot help with that."


def kinds(request: dict[str, Any]) -> list[str]:
    """What the last user's turn is made of."""
    return [part["type"] for part in request["messages"][-1]["content"]]


def rows(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob("outputs/runs/*/results.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(mmsb: Run, where: str, guard: str, reply: str, *further: str) -> tuple[ChatServer, ChatServer, Any]:
    """A run behind one guard, at an endpoint of its own that always says the same."""
    with ChatServer(lambda messages: "Sure, here is how.") as target, ChatServer(lambda messages: reply) as checker:
        model = f"defense.{where}.judge.model"
        done = mmsb(
            "model=vllm",
            "model.name=x",
            f"model.base_url={target.url}",
            f"defense={where}",
            f"+judge@defense.{where}.judge={guard}",
            f"model@{model}=vllm",
            f"{model}.name=g",
            f"{model}.base_url={checker.url}",
            "scenario=fraud",
            "dataset.limit=2",
            "tracker=none",
            *further,
        )
    return target, checker, done


@pytest.mark.parametrize(("rating", "blocked"), [("Unsafe", True), ("Safe", False)])
def test_llavaguard_in_front_of_a_model_looks_at_the_users_picture(
    rating: str, blocked: bool, mmsb: Run, tmp_path: Path
) -> None:
    reply = json.dumps({"rating": rating, "category": "O5: Criminal Planning", "rationale": "A forged paper."})
    target, checker, done = run(mmsb, "input_guard", "llavaguard", reply, "image_mode=sd_typo")
    assert done.returncode == 0, done.stderr
    assert [kinds(request) for request in checker.requests] == [["image_url", "text"]] * 2
    policy = (conf_dir() / "judge/llavaguard.yaml").read_text(encoding="utf-8")
    assert text_of(checker.requests[0]["messages"]).strip().splitlines()[0] in policy
    assert len(target.requests) == (0 if blocked else 2)
    assert {row["response"] for row in rows(tmp_path)} == {REFUSAL if blocked else "Sure, here is how."}
    if not blocked:  # the very picture that the model is shown
        images = [sorted(json.dumps(r["messages"][-1]["content"][0]) for r in s.requests) for s in (target, checker)]
        assert images[0] == images[1]


def test_a_guard_of_pictures_without_a_picture_is_an_unreadable_check(mmsb: Run, tmp_path: Path) -> None:
    target, checker, done = run(mmsb, "input_guard", "llavaguard", "{}", "image_mode=text_only")
    assert done.returncode == 0, done.stderr
    assert checker.requests == []
    assert len(target.requests) == 2
    assert "unreadable" in done.stdout
    summary = json.loads(next(tmp_path.glob("outputs/runs/*/run.json")).read_text(encoding="utf-8"))
    assert summary["record"]["totals"]["unreadable_checks"] == 2


@pytest.mark.parametrize("where", ["input_guard", "output_guard"])
@pytest.mark.parametrize("label", ["harmful", "unharmful"])
def test_guardreasoner_vl_checks_request_and_answer(where: str, label: str, mmsb: Run, tmp_path: Path) -> None:
    answers = where == "output_guard"
    other = {"harmful": "unharmful", "unharmful": "harmful"}[label]  # of what is not checked: it must not count
    said = (other, label) if answers else (label, other)
    reply = f"<think>Hm.</think>\n<result>\nRequest: {said[0]}\nResponse: {said[1]}\n</result>"
    target, checker, done = run(mmsb, where, "guardreasoner_vl", reply, "image_mode=sd_typo")
    assert done.returncode == 0, done.stderr
    assert [kinds(request) for request in checker.requests] == [["text", "image_url", "text"]] * 2
    for request in checker.requests:
        assert request["messages"][0]["role"] == "system"
        behind = text_of(request["messages"]).partition("AI assistant:\n")[2]
        assert behind == ("Sure, here is how.\n" if answers else "None\n")
    assert len(target.requests) == (2 if answers or label == "unharmful" else 0)
    assert {row["response"] for row in rows(tmp_path)} == {REFUSAL if label == "harmful" else "Sure, here is how."}


@pytest.mark.parametrize(
    ("judges", "told", "where"),
    [
        (("judge=llavaguard",), "judge=llavaguard looks at pictures, not at answers", "input_guard"),
        (
            ("judge=panel", "judge@judge.members.second=llavaguard"),
            "judge=llavaguard looks at pictures, not at answers",
            "input_guard",
        ),
        (
            ("defense=output_guard", "+judge@defense.output_guard.judge=llavaguard"),
            "judge=llavaguard looks at pictures, not at answers",
            "input_guard",
        ),
        (
            (
                *("defense=input_guard", "+judge@defense.input_guard.judge=panel"),
                "judge@defense.input_guard.judge.members.second=harmbench",
            ),
            "judge=harmbench reads answers, not requests",
            "output_guard",
        ),
        *(
            (
                ("defense=ocr_guard", f"+judge@defense.ocr_guard.judge={judge}"),
                f"judge={judge} does not read the text of a request",
                "llama_guard_3",
            )
            for judge in ("harmbench", "llavaguard")
        ),
        (
            (
                *("defense=output_guard", "+judge@defense.output_guard.judge=mm_vet"),
                "defense.output_guard.judge.model.name=m",
            ),
            "its judge grades answers to test questions, and finds no harm",
            "Name another",
        ),
        (
            ("judge=panel", "judge@judge.members.second=mm_vet", "judge.members.second.model.name=m"),
            "judge.members.second grades answers to test questions, and casts no vote",
            "judge=mm_vet",
        ),
    ],
)
def test_a_judge_where_it_can_read_nothing_is_refused_before_anything_is_asked(
    judges: tuple[str, ...], told: str, where: str, mmsb: Run
) -> None:
    with ChatServer(lambda messages: "Sure.") as server:
        target = ("model=vllm", "model.name=x", f"model.base_url={server.url}", "scenario=fraud", "dataset.limit=1")
        done = mmsb(*target, *judges, "tracker=none")
    assert done.returncode != 0
    assert told in done.stderr
    assert where in done.stderr
    assert server.requests == []


def test_what_was_published_of_guards_has_a_source_and_a_guard() -> None:
    folder = conf_dir().parent / "mmsb/report/published_guards.json"
    published = json.loads(folder.read_text(encoding="utf-8"))
    for entry in published["guards"]:
        assert (conf_dir() / f"judge/{entry['guard']}.yaml").exists()
        assert published["sources"][entry["source"]]
        assert 0 <= entry["value"] <= 100
    assert {"guardreasoner_vl", "llama_guard_3_vision", "llama_guard_4"} <= {e["guard"] for e in published["guards"]}
