"""The questions and pictures that ship with the package hold what their READMEs promise."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from tools.draw_demo import HERE, ICONS, SETS, USUAL, WORDS, save_picture

Record = dict[str, str]

SCENARIOS = (
    "01-Illegal_Activitiy",
    "02-HateSpeech",
    "03-Malware_Generation",
    "04-Physical_Harm",
    "05-EconomicHarm",
    "06-Fraud",
    "07-Sex",
    "08-Political_Lobbying",
    "09-Privacy_Violence",
    "10-Legal_Opinion",
    "11-Financial_Advice",
    "12-Health_Consultation",
    "13-Gov_Decision",
)
POLICY = ("10", "11", "12", "13")  # where the benchmark leaves the question as it is
KEYS = {
    "Question",
    "Changed Question",
    "Key Phrase",
    "Phrase Type",
    "Rephrased Question",
    "Rephrased Question(SD)",
}
COUNTS = {"demo": 8, "benign": 16}
PARTS = [(name, scenario) for name in SETS for scenario in SCENARIOS]


def records(name: str, scenario: str) -> dict[str, Record]:
    """The records of one question file, by id."""
    text = (HERE / name / "processed_questions" / f"{scenario}.json").read_text(encoding="utf-8")
    loaded: dict[str, Record] = json.loads(text)
    return loaded


def picture(name: str, scenario: str, number: str) -> Path:
    """Where a record's picture lies."""
    return HERE / name / "imgs" / scenario / "SD" / f"{number}.jpg"


@pytest.mark.parametrize("name", SETS)
def test_has_exactly_the_official_scenario_files(name: str) -> None:
    assert sorted(path.stem for path in (HERE / name / "processed_questions").iterdir()) == list(SCENARIOS)


def test_has_all_records_with_ids_from_zero_and_the_official_keys() -> None:
    for name, scenario in PARTS:
        loaded = records(name, scenario)
        assert list(loaded) == [str(number) for number in range(COUNTS[name])], (name, scenario)
        assert all(set(record) == KEYS for record in loaded.values()), (name, scenario)


def test_key_phrase_is_short_plain_and_only_in_the_unchanged_question() -> None:
    for name, scenario in PARTS:
        for record in records(name, scenario).values():
            phrase = record["Key Phrase"]
            assert re.fullmatch(r"[a-z]+( [a-z]+){1,4}", phrase), (name, scenario)
            assert len(phrase) <= 40, (name, scenario)
            assert phrase in record["Question"], (name, scenario)
            assert phrase in record["Changed Question"], (name, scenario)
            assert phrase not in record["Rephrased Question"], (name, scenario)
            assert phrase not in record["Rephrased Question(SD)"], (name, scenario)


def test_questions_stand_in_the_frames_of_the_benchmark() -> None:
    for name, scenario in PARTS:
        for record in records(name, scenario).values():
            typo, plain = record["Rephrased Question"], record["Rephrased Question(SD)"]
            beginning = r"The bottom of the image shows a phrase of (an? )?" + record["Phrase Type"]
            assert re.match(beginning, typo), (name, scenario)
            assert plain == typo.replace("The bottom of the image", "The image", 1), (name, scenario)
            if scenario[:2] in POLICY:
                assert record["Changed Question"] == record["Question"], (name, scenario)
            else:
                assert record["Changed Question"].startswith("List steps in detail to "), (name, scenario)


def test_key_phrases_are_unique_over_both_sets() -> None:
    phrases = [
        record["Key Phrase"] for name in SETS for scenario in SCENARIOS for record in records(name, scenario).values()
    ]
    assert len(set(phrases)) == len(phrases) == 312


def test_only_the_key_phrase_tells_twins_apart() -> None:
    for scenario in SCENARIOS:
        benign = records("benign", scenario)
        for number, record in records("demo", scenario).items():
            phrase = benign[number]["Key Phrase"]
            replaced = {key: text.replace(record["Key Phrase"], phrase) for key, text in record.items()}
            assert replaced == benign[number], (scenario, number)


def test_every_record_has_a_small_picture_and_no_picture_is_left_over() -> None:
    for name, scenario in PARTS:
        expected = {picture(name, scenario, number) for number in records(name, scenario)}
        assert set((HERE / name / "imgs" / scenario / "SD").iterdir()) == expected, (name, scenario)
        for path in expected:
            assert path.stat().st_size < 25_000, (name, scenario)
            with Image.open(path) as image:
                assert (image.format, image.size, image.mode) == ("JPEG", (1024, 1024), "RGB"), (name, scenario)
                image.load()


def test_no_two_pictures_are_the_same() -> None:
    files = [path.read_bytes() for name in SETS for path in (HERE / name / "imgs").glob("*/SD/*.jpg")]
    assert len(set(files)) == len(files) == 312


def test_redrawing_gives_the_shipped_pixels(tmp_path: Path) -> None:
    for name, scenario in PARTS:
        number, record = list(records(name, scenario).items())[-1]
        save_picture(record["Key Phrase"], scenario, tmp_path / "redrawn.jpg")
        with Image.open(picture(name, scenario, number)) as shipped, Image.open(tmp_path / "redrawn.jpg") as redrawn:
            difference = ImageStat.Stat(ImageChops.difference(shipped, redrawn))
        # Of 255, for other JPEG libraries; two phrases are 11 and more apart.
        assert max(difference.mean) < 0.5, (name, scenario)


def test_every_icon_that_is_named_can_be_drawn() -> None:
    named = {name for names in USUAL for name in names.split()} | set(WORDS)
    assert named == set(ICONS)
