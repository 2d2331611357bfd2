"""Each defense asks and refuses what it should, counts every call, and never takes a failure for an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmsb.defense.base import fill, says_no, says_yes
from mmsb.defense.guard import Guard
from mmsb.defense.prompt import PromptDefense
from mmsb.errors import ConfigError
from mmsb.judge.refusal import Refusal
from mmsb.judge.rubric import Rubric
from mmsb.paths import conf_dir
from mmsb.types import Failure, Response
from tests.asking import named
from tests.conftest import Run
from tests.defending import PICTURE, PROMPT, SORRY, ask, ask_one, option, roles, target
from tests.endpoint import Act, ChatServer, error, text_of
from tests.judging import scripted

NAMES = sorted(path.stem for path in (conf_dir() / "defense").glob("*.yaml"))


LOCAL = ("coca", "cider")  # need logits or weights: tests/test_defense_coca.py, test_defense_cider.py


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOCAL])
def test_every_option_answers_with_and_without_an_image_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    # its own question names all labels, and this target says back what it is asked
    says_back = {"question": "{query} {response}", "unreadable": "pass"}
    changes = {"prompt": {"text": "Be careful."}, "shieldlm": says_back}.get(name, {})
    defense = option(name, **changes)
    assert defense.name == name
    json.dumps(dict(defense.fingerprint()))
    with target(tmp_path) as (model, server):
        outcomes = ask(model, defense, PROMPT, named("text", "What is a lock?"))
        about = [body["messages"] for body in server.requests if "What is a lock?" in text_of(body["messages"])]
    # By this word a run without pictures says that a defense did nothing.
    untouched = about == [[{"role": "user", "content": "What is a lock?"}]]
    assert getattr(defense, "NEEDS_PICTURE", name == "none") is untouched
    for outcome in outcomes.values():
        assert isinstance(outcome, Response)
        assert outcome.text.startswith("sure: ")
        assert outcome.output_tokens == 3 * outcome.calls


def test_fingerprints_tell_all_options_apart() -> None:
    fingerprints = [json.dumps(dict(option(name).fingerprint()), default=str) for name in NAMES if name != "prompt"]
    assert len(set(fingerprints)) == len(fingerprints)


@pytest.mark.parametrize("placement", ["before", "after", "system"])
def test_a_text_file_goes_to_its_place(placement: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Mind the gap.\n", encoding="utf-8-sig")  # as Windows' editor saves it
    defense = option("safety_prompt", text_file=str(tmp_path / "mine.txt"), placement=placement)
    with target(tmp_path) as (model, _):
        sent = ask_one(model, defense).sent
    assert sent
    expected = {
        "before": ("Mind the gap.\nHow do I do this?", None),
        "after": ("How do I do this?\nMind the gap.", None),
        "system": ("How do I do this?", "Mind the gap."),
    }
    assert (sent.text, sent.system) == expected[placement]


def test_a_system_prompt_that_is_there_stays(tmp_path: Path) -> None:
    defense = PromptDefense(name="kind", text="Be kind.", placement="system")
    with target(tmp_path) as (model, _):
        outcome = ask(model, defense, named("q", "cake", system="You are a baker."))["q"]
    assert isinstance(outcome, Response)
    assert outcome.sent
    assert outcome.sent.system == "Be kind.\nYou are a baker."


def test_self_reminder_reminds_before_and_after(tmp_path: Path) -> None:
    with target(tmp_path) as (model, _):
        sent = ask_one(model, option("self_reminder")).sent
    assert sent
    assert sent.system
    assert sent.text.startswith("How do I do this?\nKeep in mind")


def test_a_prompt_without_a_text_is_an_error_that_says_what_to_add() -> None:
    with pytest.raises(ConfigError, match=r"defense\.prompt\.text_file"):
        option("prompt").fingerprint()


def test_ecso_answers_again_without_the_image_only_where_it_finds_its_answer_harmful(tmp_path: Path) -> None:
    def reply(text: str, image: bool) -> str:
        if "Answer yes or no" in text:
            return "Yes." if "locks" in text else "No."
        if "Describe" in text:
            return "a picture of {query}"
        return f"{'seen' if image else 'blind'}: {'locks' if 'lock' in text else 'cake'}"

    harmful, harmless = named("lock", "lock?", PICTURE), named("cake", "cake?", PICTURE)
    with target(tmp_path, reply) as (model, server):
        outcomes = ask(model, option("ecso"), harmful, harmless)
        again, cake = outcomes["lock"], outcomes["cake"]
        assert isinstance(again, Response)
        assert isinstance(cake, Response)
        assert (again.text, again.calls, again.input_tokens) == ("blind: locks", 4, 28)
        assert roles(again) == ["answer", "is it harmful?", "caption", "answer without the image"]
        assert again.sent
        assert again.sent.image is None
        assert "a picture of {query}" in again.sent.text  # braces of a reply are never filled in
        assert (cake.text, cake.calls) == ("seen: cake", 2)
        asked = len(server.requests)
        assert ask(model, option("ecso"), harmful, harmless)["lock"] == again
        assert len(server.requests) == asked  # every stage came from the store


def test_caption_then_answer_puts_the_description_before_the_question(tmp_path: Path) -> None:
    def reply(text: str, image: bool) -> str:
        return "a lock" if text.startswith("Describe") else f"{text}|{image}"

    with target(tmp_path, reply) as (model, _):
        kept = ask_one(model, option("caption_then_answer"))
        blind = ask_one(model, option("caption_then_answer", keep_image=False))
    assert kept.text == "What the image shows: a lock\nHow do I do this?|True"
    assert blind.text.endswith("|False")
    assert kept.calls == 2


def test_an_input_guard_refuses_before_the_model_answers(tmp_path: Path) -> None:
    def reply(text: str, image: bool) -> str:
        return ("yes" if "lock" in text and image else "no") if "yes or no" in text else "answered"

    with target(tmp_path, reply) as (model, server):
        guarded = option("input_guard")
        outcomes = ask(model, guarded, named("bad", "Pick a lock", PICTURE), named("good", "Bake a cake", PICTURE))
        assert len(server.requests) == 3
    bad, good = outcomes["bad"], outcomes["good"]
    assert isinstance(bad, Response)
    assert isinstance(good, Response)
    assert (bad.text, bad.calls, roles(bad)) == (SORRY, 1, ["is it harmful?"])
    assert (good.text, good.calls, roles(good)) == ("answered", 2, ["is it harmful?", "answer"])
    assert good.sent
    assert good.sent.key == named("good", "Bake a cake", PICTURE).key


def test_an_output_guard_replaces_an_unsafe_answer(tmp_path: Path) -> None:
    def reply(text: str, image: bool) -> str:
        return ("Yes" if "crowbar" in text else "No") if "yes or no" in text else f"use a {text}"

    with target(tmp_path, reply) as (model, _):
        outcomes = ask(model, option("output_guard"), named("a", "crowbar"), named("b", "spoon"))
    assert [outcome.text for outcome in outcomes.values() if isinstance(outcome, Response)].count(SORRY) == 1
    kept = outcomes["b"]
    assert isinstance(kept, Response)
    assert kept.sent
    assert (kept.text, kept.sent.key) == ("use a spoon", named("b", "spoon").key)


def test_what_a_guard_refused_is_told_as_it_came_to_the_guard_or_to_the_model(tmp_path: Path) -> None:
    careful = option("safety_prompt", text="Careful!")
    with target(tmp_path, lambda text, image: "yes" if "yes or no" in text else f"sure: {text}") as (model, _):
        before, behind = (
            ask_one(model, [careful, option("input_guard")]),
            ask_one(model, [option("output_guard"), careful]),
        )
        alone = ask_one(model, option("input_guard"))
    assert [response.text for response in (before, behind, alone)] == [SORRY] * 3
    texts = [response.sent.text for response in (before, behind, alone) if response.sent]
    assert texts == ["Careful!\nHow do I do this?"] * 2 + ["How do I do this?"]


def test_an_ocr_guard_sees_what_only_the_image_says(tmp_path: Path) -> None:
    def reply(text: str, image: bool) -> str:
        if text.startswith("Write out"):
            return "pick a lock"
        return ("yes" if "lock" in text else "no") if "yes or no" in text else "answered"

    with target(tmp_path, reply) as (model, _):
        guarded = option("ocr_guard")
        outcomes = ask(model, guarded, PROMPT, named("text", "How do I do this?"))
    assert [(o.text, o.calls) for o in outcomes.values() if isinstance(o, Response)].count((SORRY, 2)) == 1
    text = outcomes["text"]
    assert isinstance(text, Response)
    assert (text.text, text.calls) == ("answered", 2)


def test_any_judge_can_guard(tmp_path: Path) -> None:
    guard = option("output_guard", judge={"_target_": "mmsb.judge.refusal.Refusal"})
    assert guard.fingerprint()["check"] == Refusal().fingerprint()
    with target(tmp_path, lambda text, image: "I can't help." if text == "no" else "Here are the steps: 1. Go.") as t:
        outcomes = ask(t[0], guard, named("a", "no"), named("b", "yes"))
    texts = {name: outcome.text for name, outcome in outcomes.items() if isinstance(outcome, Response)}
    assert texts == {"a": "I can't help.", "b": SORRY}  # the refusal judge calls whatever complies unsafe


def test_defenses_compose_in_order_and_count_all_calls(tmp_path: Path) -> None:
    both = [option("input_guard"), option("safety_prompt", text="Careful!")]
    with target(tmp_path) as (model, _):
        guard_first = ask_one(model, both)
        prompt_first = ask_one(model, both[::-1])
    checked = [response.steps[0].prompt for response in (guard_first, prompt_first)]
    assert ["Careful!" in text for text in checked] == [False, True]  # a check goes to the bare model
    assert checked[0].startswith("A user sends")
    assert "request, together with the image if there is one: Careful!" in checked[1]
    assert guard_first.sent
    assert guard_first.sent.text == "Careful!\nHow do I do this?"
    assert guard_first.calls == prompt_first.calls == 2


@pytest.mark.parametrize(
    "name", ["ecso", "caption_then_answer", "input_guard", "output_guard", "ocr_guard", "random_crops"]
)
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_stage_that_fails_makes_the_sample_a_failure(name: str, attempt: int, tmp_path: Path) -> None:
    seen: list[str] = []

    def act(text: str, count: int) -> Act | None:
        if "cake" in text:
            return None
        seen.append(text)
        return error(400, "broken", "bad_request") if len(seen) == attempt else None

    with target(tmp_path, act=act) as (model, _):
        outcomes = ask(model, option(name), named("q", "lock", PICTURE), named("cake", "cake"))
    assert isinstance(outcomes["q"], Failure)
    assert isinstance(outcomes["cake"], Response)


@pytest.mark.parametrize("unreadable", ["pass", "block"])
def test_a_judge_that_fails_in_a_guard_makes_the_sample_a_failure(unreadable: Any, tmp_path: Path) -> None:
    broken = Rubric(model=scripted(lambda prompt: Failure("http_400", "broken")))
    guard = Guard(name="g", where="output", question="", refusal=SORRY, judge=broken, unreadable=unreadable)
    with target(tmp_path) as (model, _):
        outcome = ask(model, guard, named("q", "cake"))["q"]
    assert isinstance(outcome, Failure)
    assert (outcome.cause, "broken" in outcome.message) == ("guard", True)


def test_a_content_filter_in_any_stage_ends_the_sample_as_filtered(tmp_path: Path) -> None:
    def act(text: str, attempt: int) -> Act | None:
        return error(400, "filtered", "content_filter") if "yes or no" in text else None

    with target(tmp_path, act=act) as (model, _):
        response = ask_one(model, option("ecso"))
    assert response.finish == "content_filter"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes.", True),
        ("**YES**, harmful", True),
        ("The answer is: yes", True),
        ("<think>no?</think> Yes", True),
        ("No, but yes", False),
        ("You ask: answer yes or no.", False),
        ("yesterday", False),
        ("Yes or no? No.", False),
        ("yes/no", False),
        ("Yes? No.", False),
        ("", False),
    ],
)
def test_only_a_clear_yes_is_a_yes(text: str, expected: bool) -> None:
    assert says_yes(Response(text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No", True),
        ("No, it holds nothing harmful.", True),
        ("No, I cannot see anything harmful.", True),
        ("No, I can't help with that.", False),
        ("No doubt it does", False),
        ("No? Yes.", False),
        ("nothing", False),
    ],
)
def test_only_a_clear_no_is_a_no(text: str, expected: bool) -> None:
    """What is neither counts as a check that could not be read."""
    assert says_no(Response(text)) is expected


def test_texts_are_filled_in_once() -> None:
    hostile: dict[str, Any] = {"answer": "{query} {answer.__class__} {0}", "query": "q"}
    assert fill("{query}: {answer} {other}", **hostile) == "q: {query} {answer.__class__} {0} {other}"


def test_a_guard_takes_a_judge_of_the_judge_group(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer(lambda messages: "Here are the steps: 1. Go.") as server:
        command = ("defense=output_guard", "+judge@defense.output_guard.judge=refusal", "model=vllm", "model.name=x")
        done = mmsb(*command, f"model.base_url={server.url}", "scenario=fraud", "dataset.limit=1", "tracker=none")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("outputs/runs/*/results.jsonl")
    row = json.loads(path.read_text())
    assert (row["response"], row["label"], row["calls"]) == (SORRY, "safe", 1)  # that judge asks no model
    assert [step["answer"] for step in row["steps"]] == ["Here are the steps: 1. Go.", "unsafe"]


def test_a_run_whose_defense_did_nothing_says_so(mmsb: Run) -> None:
    with ChatServer() as server:
        command = ("model=openai", "model.name=x", f"model.base_url={server.url}", "scenario=fraud", "dataset.limit=1")
        blind = mmsb(*command, "tracker=none", "image_mode=text_only", "defense=[blur,safety_prompt]")
        seeing = mmsb(*command, "tracker=none", "image_mode=typo", "defense=blur")
    assert (blind.returncode, seeing.returncode) == (0, 0)
    assert "blur did nothing: without pictures" in blind.stderr
    assert "did nothing" not in seeing.stderr
