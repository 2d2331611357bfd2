"""A language model's reply on a key phrase is read, whatever its form, or said to be unusable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsb.create.instructions import FAMILIES, Parsed, doubts
from mmsb.create.official import Official
from mmsb.errors import ConfigError
from mmsb.scenario import official_scenarios
from tests.instructing import GOOD, OURS, instructions


def parse(reply: str, family: str = "harm") -> Parsed | str:
    return OURS.parse(reply, family)


def test_what_is_missing_or_doubled_in_a_reply_is_said() -> None:
    parsed = parse(GOOD)
    assert isinstance(parsed, Parsed)
    assert (parsed.phrase, parsed.type) == ("bake bread", "activity")
    assert parse(GOOD + "\n\n[Key Phrase]\nagain") == "it has two sections [Key Phrase]"
    assert parse(GOOD.replace("activity\n", "\n")) == "[Phrase Type] is empty"
    assert "does not point to" in str(parse(GOOD.replace("The bottom of the image", "The picture")))
    assert parse(GOOD.replace("bake bread\n\n", "bake bread\nor cake\n\n")) == "[Key Phrase] has more than one line"
    assert parse("") == ("it lacks the section [Changed Question], [Key Phrase], [Phrase Type], [Rephrased Question]")


def bold(text: str) -> str:
    return re.sub(r"\[(.+)\]", r"**\1:**", text)


VARIANTS: dict[str, Callable[[str], str]] = {
    "a preamble and a farewell": lambda text: f"Sure! Here it is:\n\n{text}\n\nLet me know if you need more.",
    "a code fence": lambda text: f"```markdown\n{text}\n```",
    "the question again": lambda text: f"[Question]\nHow do I bake bread?\n\n{text}",
    "bold headings with a colon": bold,
    "lower-case headings": lambda text: re.sub(r"\[(.+)\]", lambda match: match[0].lower(), text),
    "hashes": lambda text: re.sub(r"\[(.+)\]", r"### \1", text),
    "a colon after the brackets": lambda text: text.replace("]\n", "]:\n"),
    "text beside the heading": lambda text: text.replace("]\n", "]: "),
    "text beside a bold heading": lambda text: bold(text).replace("**\n", "** "),
    "bold in brackets": lambda text: re.sub(r"(\[.+\])", r"**\1**", text),
    "quotes": lambda text: text.replace("\nbake bread\n", '\n"bake bread"\n'),
    "Windows line ends": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_reply_is_read_however_its_headings_are_set(change: Callable[[str], str]) -> None:
    changed = change(GOOD)
    assert changed != GOOD
    assert parse(changed) == parse(GOOD)


def test_every_reply_of_the_benchmarks_own_records_is_read(authors_data: Path) -> None:
    """Held against what the authors' own script made of the same replies."""
    read, different = 0, []
    for scenario in official_scenarios():
        family = OURS.family_of(scenario.rule)
        for key, record in json.loads((authors_data / f"processed_questions/{scenario.id}.json").read_text()).items():
            parsed = OURS.parse(record["GPT-Pred"], family)
            if isinstance(parsed, Parsed):
                read += 1
                if (parsed.phrase, parsed.rephrased) != (record["Key Phrase"], record["Rephrased Question"]):
                    different.append(f"{scenario.id}/{key}")
    assert read >= 1670
    assert len(different) <= 10, different


@pytest.mark.parametrize("name", ["ours", "german"])
def test_every_family_shows_an_example_that_its_own_checks_accept(name: str) -> None:
    told = instructions(name)
    for family in told.families:
        text = told.instruction(family)
        example = told.families[family].example
        parsed = told.parse(text[text.rindex(f"[{told.heading(told.sections(family)[0])}]") :], family)
        assert isinstance(parsed, Parsed), parsed
        assert doubts(example.question, parsed) == []
        assert all(f"[{told.heading(section)}]" in text for section in told.sections(family))
        assert "{" not in text
    assert set(told.families) <= set(FAMILIES.values())


def test_the_variant_for_the_picture_alone_is_the_authors(authors_data: Path) -> None:
    different = []
    for path in sorted((authors_data / "processed_questions").glob("*.json")):
        for key, record in json.loads(path.read_text()).items():
            if OURS.sd_variant(record["Rephrased Question"]) != record["Rephrased Question(SD)"]:
                different.append(f"{path.stem}/{key}")
    assert different == ["06-Fraud/0"]  # a slip of theirs: "shows" is "showss" in one of the two


def test_a_language_is_a_file_of_settings() -> None:
    german = instructions("german")
    reply = (
        "**Geänderte Frage:** Nenne im Einzelnen die Schritte, um Brot zu backen.\n**Schlüsselphrase:** Brot\n"
        "**Art der Phrase:** Produkt\n**Umformulierte Frage:** Der untere Teil des Bildes zeigt ein Produkt. "
        "Wie geht es?"
    )
    parsed = german.parse(reply, "harm")
    assert isinstance(parsed, Parsed)
    assert (parsed.phrase, german.sd_variant(parsed.rephrased)) == ("Brot", "Das Bild zeigt ein Produkt. Wie geht es?")
    with pytest.raises(ConfigError, match="german has nothing for legal"):
        german.family_of("legal")


def test_the_authors_instructions_are_read_from_a_checkout_and_not_run(tmp_path: Path) -> None:
    sections = "[Question]\nq\n\n[Key Phrase]\np\n\n[Phrase Type]\nt\n\n[Rephrased Question]\nr"
    names = ("sys_prompt", "sys_prompt_legal", "sys_prompt_financial", "sys_prompt_health", "sys_prompt_gov_decision")
    body = "\n".join(f"    {name} = ('Told {number}. '\n        {sections!r})" for number, name in enumerate(names))
    (tmp_path / "creating").mkdir()
    script = tmp_path / "creating/extract.py"
    script.write_text(f"raise SystemExit('run')\ndef made(question):\n{body}\n    other = 'Told nothing.'\n")
    ours = {name: getattr(OURS, name) for name in OURS.__dataclass_fields__}
    told = Official(root=tmp_path, **ours)
    assert told.instruction("government") == f"Told 4. {sections}"
    assert told.instruction("harm") == f"Told 0. {sections}"
    assert told.ask("Why?", "too short") == "[Question]\nWhy?\n\n"
    script.write_text(script.read_text().replace("sys_prompt_health", "sys_prompt_wealth"))
    with pytest.raises(ConfigError, match="two texts for harm"):
        Official(root=tmp_path, **ours).instruction("harm")


def test_the_checks_find_a_phrase_that_is_not_there_and_one_that_is_left_over() -> None:
    assert doubts("How to bake bread?", Parsed(None, "fry fish", "activity", "The bottom of the image: do this."))
    assert doubts("How to bake bread?", Parsed(None, "bake bread", "activity", "How to bake bread at the bottom?"))
    assert not doubts("How to Bake Bread?", Parsed(None, "bake bread", "activity", "How to do this?"))
