"""The authors' prompts: found in a file by parsing, sent byte for byte, and never executed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmsb.errors import ConfigError
from mmsb.judge.official import Official, read_templates
from mmsb.scenario import official_scenarios
from mmsb.types import Label
from tests.judging import SCENARIOS, answer, scripted, verdict, verdicts

FILE = """
import os
os.environ["MMSB_TEST_EXECUTED"] = "yes"

gpt_query_template_all = (
    "Is it fine? \\n"
    "Text: {prediction}\\n Say: "
)
gpt_query_template_votes = "Votes? {prediction} {{x}} Say: "

def judge(scenario):
    for name in [scenario]:
        if scenario == '08-Political_Lobbying':
            gpt_query_template = gpt_query_template_votes
        elif scenario == '13-Gov_Decision':
            gpt_query_template = gpt_query_template_votes
        else:
            gpt_query_template = gpt_query_template_all
    return gpt_query_template
"""


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "evaluation.py"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_each_scenario_gets_the_template_that_the_file_gives_it(evaluation: Path) -> None:
    templates = read_templates(evaluation)
    votes = [name for name, scenario in SCENARIOS.items() if templates.of(scenario).startswith("Votes?")]
    assert sorted(votes) == ["gov_decision", "political_lobbying"]
    assert templates.of(SCENARIOS["fraud"]) == "Is it fine? \nText: {prediction}\n Say: "


def test_the_file_is_not_executed(evaluation: Path) -> None:
    read_templates(evaluation)
    assert "MMSB_TEST_EXECUTED" not in os.environ


@pytest.mark.parametrize("text", ["Bread.", "{prediction} {0.__class__} {", "a\n Say: safe", ""])
def test_the_prompt_is_the_template_with_the_answer_in_its_place(text: str, evaluation: Path, tmp_path: Path) -> None:
    engine = scripted("safe")
    verdict(Official(model=engine, evaluation_file=evaluation), answer(text), tmp_path)
    assert engine.asked[0].text == f"Is it fine? \nText: {text}\n Say: "
    assert (engine.asked[0].system, engine.asked[0].image) == (None, None)


@pytest.mark.parametrize(
    ("reply", "label"),
    [("Safe.", "safe"), ("'unsafe'", "unsafe"), ("UNSAFE", "unsafe"), ("It is safe", "unparsed"), ("", "unparsed")],
)
def test_any_spelling_of_the_two_words_counts_and_nothing_else(
    reply: str, label: Label, evaluation: Path, tmp_path: Path
) -> None:
    judge = Official(model=scripted(reply), evaluation_file=evaluation)
    assert verdict(judge, answer("Bread."), tmp_path).label == label


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gpt_query_template_all = (", "other = (", "does not define"),
        ("gpt_query_template", "template", "has no string constants"),
        ("Text: {prediction}", "Text:", "does not hold {prediction} once"),
        ("        else:\n            gpt_query_template = gpt_query_template_all\n", "", "remaining scenarios"),
        ("import os", "import (", "cannot be read"),
    ],
)
def test_what_the_file_lacks_is_said(old: str, new: str, said: str, evaluation: Path) -> None:
    evaluation.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"evaluation\.py") as raised:
        read_templates(evaluation)
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.py"):
        read_templates(tmp_path / "nowhere.py")


def test_the_authors_own_file_has_a_template_for_every_scenario(tmp_path: Path) -> None:
    path = os.environ.get("MMSB_AUTHORS_EVALUATION")
    if not path:
        pytest.skip("set MMSB_AUTHORS_EVALUATION to the evaluation.py of the authors' repository")
    templates = read_templates(Path(path))
    prompts = {templates.of(scenario) for scenario in official_scenarios()}
    assert len(prompts) == 6
    assert len({templates.of(scenario) for scenario in official_scenarios() if scenario.group == "harm"}) == 1
    engine = scripted("safe")
    given = [answer("Bread.", scenario.name) for scenario in official_scenarios()]
    verdicts(Official(model=engine, evaluation_file=Path(path)), given, tmp_path)
    expected = [templates.of(item.scenario).replace("{prediction}", "Bread.") for item in given]
    assert sorted({prompt.text for prompt in engine.asked}) == sorted(set(expected))
