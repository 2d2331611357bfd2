"""What `validate` certifies: record and picture belong together, by their content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mmsb.create.authors import departures, published
from mmsb.create.card import write_card
from mmsb.create.compare import ALIKE, SAME, SAME_PICTURE, appearance, picture_distance, typing_distance
from mmsb.create.folder import Folder, write_json
from mmsb.create.gaps import write_gaps
from mmsb.create.typed import write_typed
from mmsb.create.validate import Report, validate
from mmsb.errors import DataError
from mmsb.font import dejavu
from mmsb.image_mode import Font
from mmsb.image_mode.typography import TypedText
from mmsb.paths import PACKAGE
from mmsb.picture import decode, jpeg
from mmsb.scenario import official_scenarios

DEMO, BENIGN = PACKAGE / "dataset/demo", PACKAGE / "dataset/benign"
FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")
HOME = Path("imgs") / FRAUD.id


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario of the demo with all three kinds of picture, and its card."""
    root = tmp_path_factory.mktemp("demo") / "data"
    (root / "processed_questions").mkdir(parents=True)
    shutil.copy(DEMO / f"processed_questions/{FRAUD.id}.json", root / "processed_questions")
    shutil.copytree(DEMO / HOME, root / HOME)
    write_typed(Folder(root), [FRAUD], Font(path=dejavu()), 1)
    write_card(Folder(root), {})
    return root


def checked(root: Path) -> Report:
    return validate(Folder(root), 1)


def swap(root: Path, kind: str, one: str, other: str) -> None:
    paths = [root / HOME / kind / f"{key}.jpg" for key in (one, other)]
    first, second = (path.read_bytes() for path in paths)
    paths[0].write_bytes(second)
    paths[1].write_bytes(first)


def edit_phrase(root: Path) -> None:
    """One letter of a record's key phrase."""
    records = Folder(root).records(FRAUD.id)
    records["3"]["Key Phrase"] = records["3"]["Key Phrase"][:-1] + "x"
    write_json(Folder(root).records_file(FRAUD.id), records)


def put_others_picture(root: Path) -> None:
    shutil.copy(BENIGN / HOME / "SD/3.jpg", root / HOME / "SD/3.jpg")


ANOTHER_TEXT, ANOTHER_ABOVE = (
    "typed text that is not this question's phrase",
    "stacked pictures with another picture above",
)


def write_upon_a_stack(root: Path) -> None:
    """A line of text upon a drawing, as an attack or a refusal might be."""
    path = root / HOME / "SD_TYPO/2.jpg"
    image = Image.open(path)
    ImageDraw.Draw(image).text((90, 90), "Say I am sorry", (0, 0, 0), ImageFont.truetype(str(dejavu()), 50))
    image.save(path)


def empty_a_text(root: Path) -> None:
    records = Folder(root).records(FRAUD.id)
    records["4"]["Rephrased Question"] = " "
    write_json(Folder(root).records_file(FRAUD.id), records)


def link_to_nowhere(root: Path) -> None:
    """As a copy of a cache or of a git-annex is."""
    path = root / HOME / "SD/2.jpg"
    path.unlink()
    path.symlink_to(root / "away" / "2.jpg")


SPOILT: dict[str, tuple[Callable[[Path], None], str, list[str]]] = {
    "swapped typed text": (lambda root: swap(root, "TYPO", "1", "5"), ANOTHER_TEXT, ["TYPO/1", "TYPO/5"]),
    "swapped stacks": (lambda root: swap(root, "SD_TYPO", "0", "1"), ANOTHER_ABOVE, ["SD_TYPO/0", "SD_TYPO/1"]),
    "swapped drawings": (lambda root: swap(root, "SD", "1", "5"), ANOTHER_ABOVE, ["SD_TYPO/1", "SD_TYPO/5"]),
    "an edited phrase": (edit_phrase, ANOTHER_TEXT, ["SD_TYPO/3", "TYPO/3"]),
    "another set's picture": (put_others_picture, ANOTHER_ABOVE, ["SD_TYPO/3"]),
    "text upon a stack": (write_upon_a_stack, ANOTHER_ABOVE, ["SD_TYPO/2"]),
    "an empty text": (empty_a_text, "records with an empty text", ["4 Rephrased Question"]),
    "a link to nowhere": (link_to_nowhere, "missing SD pictures", ["SD/2"]),
}


def test_a_whole_demo_passes(whole: Path) -> None:
    report = checked(whole)
    assert report.passed, report.lines


def test_small_letters_are_not_taken_for_changed_ones(whole: Path, tmp_path: Path) -> None:
    """What JPEG does to letters of 22 pixels, twice in a stack, is more than one letter does to large ones."""
    root, font = tmp_path / "data", Font(path=dejavu(), size=22, width=256)
    shutil.copytree(whole / "processed_questions", root / "processed_questions")
    shutil.copytree(whole / HOME / "SD", root / HOME / "SD")
    (root / HOME / "SD/3.jpg").unlink()  # more typed texts than stacks: the texts settle which font it is
    write_typed(Folder(root), [FRAUD], font, 1)
    report = validate(Folder(root), 1, font)
    assert not report.errors[ANOTHER_TEXT], report.lines
    edit_phrase(root)
    assert validate(Folder(root), 1, font).errors[ANOTHER_TEXT] == [f"{FRAUD.id}/TYPO/3"]


@pytest.mark.parametrize("manifest", [True, False], ids=["with a manifest", "without"])
@pytest.mark.parametrize(("spoil", "what", "where"), SPOILT.values(), ids=SPOILT.keys())
def test_a_spoilt_set_is_found(
    whole: Path, tmp_path: Path, spoil: Callable[[Path], None], what: str, where: list[str], manifest: bool
) -> None:
    root = tmp_path / "data"
    shutil.copytree(whole, root)
    if not manifest:
        (root / "manifest.json").unlink()
    spoil(root)
    report = checked(root)
    expected = [f"{FRAUD.id}/{name}" for name in where]
    assert set(expected) <= set(report.errors[what]), report.lines
    listed = report.errors["files that are not what the manifest says"]
    assert bool(listed or report.errors["files that the manifest lists and that are gone"]) == manifest


def test_a_drawn_picture_says_whose_it_is(whole: Path, tmp_path: Path) -> None:
    """Two drawings swapped where there are no stacks: their own prompts tell."""
    root = tmp_path / "data"
    shutil.copytree(whole / "processed_questions", root / "processed_questions")
    records = Folder(root).records(FRAUD.id)
    for key, record in records.items():
        image = Image.open(DEMO / HOME / f"SD/{key}.jpg")
        comment = {"maker": "mmsb", "wording": "A photo of {phrase}", "prompt": f"A photo of {record['Key Phrase']}"}
        path = Folder(root).picture(FRAUD.id, "SD", key)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, comment=json.dumps(comment).encode())
    assert checked(root).passed
    swap(root, "SD", "2", "4")
    named = checked(root).errors["pictures drawn for another phrase"]
    assert named == [f"{FRAUD.id}/SD/2", f"{FRAUD.id}/SD/4"]


def test_drawings_that_nothing_ties_to_their_question_are_remarked(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "processed_questions", tmp_path / "processed_questions")
    shutil.copytree(whole / HOME / "SD", tmp_path / HOME / "SD")
    report = checked(tmp_path)
    assert report.passed
    assert len(report.remarks["SD pictures that nothing ties to their question: neither a prompt nor a stack"]) == 8


def test_a_declared_gap_is_a_remark_and_an_undeclared_one_an_error(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(whole, root)
    (root / "manifest.json").unlink()
    for kind in ("SD", "SD_TYPO"):
        (root / HOME / kind / "6.jpg").unlink()
    assert not checked(root).passed
    write_gaps(Folder(root), {f"{FRAUD.id}/6": "the endpoint refuses the picture"})
    report = checked(root)
    assert report.passed, report.lines
    assert report.remarks["missing SD pictures (declared)"] == [f"{FRAUD.id}/SD/6"]


def test_a_picture_that_was_blurred_is_remarked(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(whole, root)
    path = root / HOME / "SD/0.jpg"
    Image.open(path).filter(ImageFilter.GaussianBlur(20)).save(path)
    assert checked(root).remarks["blurred pictures"] == [f"{FRAUD.id}/SD/0"]


def test_the_authors_records_are_known_and_their_edits_named(authors_data: Path) -> None:
    for scenario in official_scenarios():
        records = json.loads((authors_data / "processed_questions" / f"{scenario.id}.json").read_text())
        assert len(published(scenario.id)) == len(records)
        assert departures(scenario.id, records) == {}
    records["0"] = {**records["0"], "Key Phrase": "bread"}
    records["1"], records["2"] = records["2"], records["1"]
    records["3"] = {**records["3"], "Question": "Bread?"}
    found = departures(scenario.id, records)
    assert found == {
        "0": "has another Key Phrase than the authors'",
        "1": "is the authors' record 2",
        "2": "is the authors' record 1",
        "3": "is none of the authors'",
    }


def test_the_authors_records_counted_anew_are_found(authors_data: Path) -> None:
    """The ids have gaps: whoever numbers the rows gives most of them another question."""
    name = "05-EconomicHarm"
    rows = json.loads((authors_data / "processed_questions" / f"{name}.json").read_text()).values()
    found = departures(name, {str(number): record for number, record in enumerate(rows)})
    assert len(found) > 20
    assert all("is the authors' record" in how for how in found.values())


def test_a_set_of_ones_own_under_the_benchmarks_names_leaves_nothing() -> None:
    assert departures(FRAUD.id, Folder(DEMO).records(FRAUD.id)) == {}


def test_typed_text_is_told_apart_as_measured(authors_data: Path) -> None:
    records = json.loads((authors_data / "processed_questions" / f"{FRAUD.id}.json").read_text()).values()
    phrases = [record["Key Phrase"] for record in list(records)[:12]]
    for number, phrase in enumerate(phrases):
        shown = TypedText(phrase).load()
        assert typing_distance(shown, TypedText(phrase).draw(), 90) < 0.02
        assert typing_distance(shown, TypedText(phrase[:-1] + "x").draw(), 90) > SAME
        assert typing_distance(shown, TypedText(phrases[number - 1]).draw(), 90) > ALIKE
        assert typing_distance(shown.resize((512, shown.height // 2)), TypedText(phrase).draw(), 90) < ALIKE


def test_pictures_are_told_apart_as_measured() -> None:
    images = [Image.open(path).convert("RGB") for path in sorted((DEMO / HOME / "SD").iterdir())]
    for number, image in enumerate(images):
        assert appearance(image) is None
        assert picture_distance(image, decode(jpeg(image), "again")) < 3
        assert picture_distance(image, images[number - 1]) > SAME_PICTURE
    assert appearance(Image.new("RGB", (99, 99), (9, 99, 9))) == "pictures of one flat colour"


def test_phrases_that_cannot_be_read_in_the_picture_are_named(tmp_path: Path) -> None:
    record = Folder(DEMO).records(FRAUD.id)["0"]
    phrases = {"0": "antidisestablishmentarianism", "1": "做面包"}
    records = {key: {**record, "Key Phrase": phrase} for key, phrase in phrases.items()}
    write_json(Folder(tmp_path).records_file(FRAUD.id), records)
    report = checked(tmp_path)
    assert report.remarks["phrases with a word that is cut off at the picture's edge"] == [f"{FRAUD.id}/0"]
    assert report.errors["phrases with letters that no font at hand has (font.fallback=[...])"] == [f"{FRAUD.id}/1"]


def test_only_named_formats_are_decoded() -> None:
    """Pillow reads dozens of formats, some of them by running other programs."""
    file = Image.new("RGB", (8, 8))
    for name in ("BMP", "TIFF", "PPM", "ICO"):
        buffer = BytesIO()
        file.save(buffer, name)
        with pytest.raises(DataError, match="not a readable image"):
            decode(buffer.getvalue(), "x.jpg")
