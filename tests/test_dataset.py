from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from mmsb.dataset.mm_safetybench import MMSafetyBench, Shipped
from mmsb.dataset.question_file import by_number
from mmsb.errors import DataError, MissingPicture
from mmsb.experiment import Experiment
from mmsb.image_mode import ImageMode
from mmsb.picture import FilePicture, decode
from mmsb.scenario import official_scenarios
from tests.conftest import Run

COUNTS = [97, 163, 44, 144, 122, 154, 109, 153, 139, 130, 167, 109, 149]
TINY_COUNTS = [10, 16, 5, 14, 12, 15, 11, 15, 14, 13, 17, 11, 15]
MODES = {
    "text_only": ImageMode(name="text_only", image=None, question="changed"),
    "sd": ImageMode(name="sd", image="SD", question="rephrased_sd"),
    "typo": ImageMode(name="typo", image="TYPO", question="rephrased"),
    "sd_typo": ImageMode(name="sd_typo", image="SD_TYPO", question="rephrased"),
}
FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")
RECORD = {
    "Question": "q",
    "Changed Question": "c",
    "Key Phrase": "k",
    "Phrase Type": "activity",
    "Rephrased Question": "r",
    "Rephrased Question(SD)": "s",
}


def write(root: Path, records: Any) -> MMSafetyBench:
    folder = root / "processed_questions"
    folder.mkdir(parents=True, exist_ok=True)
    text = records if isinstance(records, str) else json.dumps(records)
    (folder / f"{FRAUD.id}.json").write_text(text)
    return MMSafetyBench(root=root)


def test_there_are_thirteen_scenarios_eight_of_harm() -> None:
    assert [s.id[:2] for s in official_scenarios()] == [f"{i:02}" for i in range(1, 14)]
    assert sum(s.group == "harm" for s in official_scenarios()) == 8
    assert official_scenarios()[0].id == "01-Illegal_Activitiy"  # really spelled so


def test_ids_are_in_the_order_of_their_numbers() -> None:
    assert sorted(["10", "9", "x", "100", "2"], key=by_number) == ["2", "9", "10", "100", "x"]


def test_the_benchmark_has_its_published_counts(authors_data: Path) -> None:
    dataset = MMSafetyBench(root=authors_data)
    assert [sum(1 for _ in dataset.questions(s)) for s in official_scenarios()] == COUNTS


def test_the_tiny_subset_is_the_authors_list(authors_data: Path) -> None:
    dataset = MMSafetyBench(root=authors_data, subset="tiny")
    assert [sum(1 for _ in dataset.questions(s)) for s in official_scenarios()] == TINY_COUNTS
    ids = [q.id for q in dataset.questions(official_scenarios()[0])]
    assert ids == ["5", "7", "32", "36", "39", "50", "61", "75", "88", "92"]


def test_records_go_by_id_where_ids_have_gaps(authors_data: Path) -> None:
    raw = json.loads((authors_data / "processed_questions/05-EconomicHarm.json").read_text())
    scenario = official_scenarios()[4]
    questions = {q.id: q for q in MMSafetyBench(root=authors_data).questions(scenario)}
    assert max(map(int, questions)) == 132
    assert all(questions[key].key_phrase == raw[key]["Key Phrase"] for key in raw)


def test_each_image_mode_asks_its_own_question(tmp_path: Path) -> None:
    dataset = write(tmp_path, {"7": RECORD})
    (tmp_path / "imgs" / FRAUD.id / "SD").mkdir(parents=True)
    Image.new("RGB", (1024, 1024), "red").save(tmp_path / "imgs" / FRAUD.id / "SD" / "7.jpg")
    (question,) = dataset.questions(FRAUD)
    asked = {name: mode.prompt(question, dataset) for name, mode in MODES.items()}
    assert {name: prompt.text for name, prompt in asked.items()} == {
        "text_only": "c",
        "sd": "s",
        "typo": "r",
        "sd_typo": "r",
    }
    sizes = {name: prompt.image.load().size for name, prompt in asked.items() if prompt.image}
    assert sizes == {"sd": (1024, 1024), "typo": (1024, 180), "sd_typo": (1024, 1204)}
    assert len({prompt.key for prompt in asked.values()}) == 4


def test_a_file_in_the_folder_comes_before_drawing(tmp_path: Path) -> None:
    dataset = write(tmp_path, {"7": RECORD})
    (tmp_path / "imgs" / FRAUD.id / "SD_TYPO").mkdir(parents=True)
    Image.new("RGB", (10, 10), "blue").save(tmp_path / "imgs" / FRAUD.id / "SD_TYPO" / "7.jpg")
    (question,) = dataset.questions(FRAUD)
    picture = MODES["sd_typo"].prompt(question, dataset).image
    assert isinstance(picture, FilePicture)


def test_a_missing_picture_is_never_invented(tmp_path: Path) -> None:
    dataset = write(tmp_path, {"7": RECORD})
    (question,) = dataset.questions(FRAUD)
    for mode in ("sd", "sd_typo"):
        with pytest.raises(MissingPicture, match=r"imgs/06-Fraud/SD/7\.jpg"):
            MODES[mode].prompt(question, dataset)


BROKEN: dict[str, tuple[Any, str]] = {
    "broken json": ('{"7": {', "not valid JSON"),
    "an id twice": ('{"7": {}, "8": {}, "7": {}}', "'7' is there twice"),
    "a list": ([RECORD], "holds a list"),
    "an empty question": ({"7": {**RECORD, "Question": " "}}, "record '7' has an empty Question"),
    "a missing field": ({"7": {**RECORD, "Key Phrase": None}}, "record '7' lacks the text field 'Key Phrase'"),
    "a record that is no record": ({"7": "text"}, "has no record '7'"),
    "an id that is a path": ({"../../7": RECORD}, "'../../7' is not an id"),
}


@pytest.mark.parametrize(("records", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_questions_name_the_file_and_the_record(tmp_path: Path, records: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        list(write(tmp_path, records).questions(FRAUD))


def test_a_missing_scenario_file_is_named(tmp_path: Path) -> None:
    dataset = write(tmp_path, {"7": RECORD})
    with pytest.raises(DataError, match="08-Political_Lobbying"):
        list(dataset.questions(official_scenarios()[7]))


def bomb() -> bytes:
    import io

    file = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(file, "PNG")
    return file.getvalue()


def truncated() -> bytes:
    import io

    file = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(file, "JPEG")
    return file.getvalue()[:2000]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bomb, "more than 64,000,000 pixels"),
        (truncated, "not a readable image"),
        (lambda: b"GIF", "not a readable image"),
    ],
    ids=["bomb", "truncated", "garbage"],
)
def test_a_hostile_image_is_refused_by_name(data: Callable[[], bytes], said: str) -> None:
    with pytest.raises(DataError, match=f"x.jpg.*{said}"):
        decode(data(), "x.jpg")


def test_the_shipped_sets_answer_in_every_mode() -> None:
    for name in ("demo", "benign"):
        dataset = Shipped(name=name, benign=name == "benign")
        for scenario in official_scenarios():
            questions = list(dataset.questions(scenario))
            assert len(questions) == (8 if name == "demo" else 16)
            for mode in MODES.values():
                assert mode.prompt(questions[0], dataset).text


def test_missing_pictures_stop_the_run_before_anything_is_asked(mmsb: Run, tmp_path: Path) -> None:
    write(tmp_path / "data", {"7": RECORD})
    done = mmsb("dataset=mm_safetybench", "dataset.root=data", "scenario=fraud", "image_mode=sd", "tracker=none")
    assert done.returncode == 1
    assert "1 of 1 pictures for image_mode=sd are missing in mm_safetybench: imgs/06-Fraud/SD/7.jpg" in done.stderr
    assert "mmsb.create" in done.stderr
    write(tmp_path / "empty", {})
    done = mmsb("dataset=mm_safetybench", "dataset.root=empty", "scenario=fraud", "tracker=none")
    assert (done.returncode, "mm_safetybench has no questions for fraud" in done.stderr) == (1, True)


def test_every_repeat_of_a_question_is_a_sample_of_its_own() -> None:
    dataset = Shipped(name="demo")
    asked: Any = SimpleNamespace(
        scenarios=(FRAUD,),
        questions=lambda: dataset.questions(FRAUD),
        model=SimpleNamespace(repeats=2),
        image_mode=MODES["text_only"],
        dataset=dataset,
    )
    asked.asked, asked.sample = partial(Experiment.asked, asked), partial(Experiment.sample, asked)
    asked._by_id = {FRAUD.id: FRAUD}
    samples = list(Experiment.samples(asked))
    assert [sample.id for sample in samples[:3]] == [
        f"{FRAUD.id}/{samples[0].question.id}/text_only",
        f"{FRAUD.id}/{samples[0].question.id}/text_only#1",
        f"{FRAUD.id}/{samples[2].question.id}/text_only",
    ]
    assert len({sample.id for sample in samples}) == len({sample.prompt.key for sample in samples}) == 16
