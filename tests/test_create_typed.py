from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from mmsb.create.card import write_card
from mmsb.create.folder import Folder, write_bytes, write_json
from mmsb.create.typed import Journal, stack_files, write_typed
from mmsb.create.validate import Report, validate
from mmsb.errors import DataError
from mmsb.font import default_font
from mmsb.image_mode import Font
from mmsb.image_mode.typography import TypedText, typeset
from mmsb.picture import BytesPicture, Stacked, decode, jpeg
from mmsb.scenario import Scenario
from tests.forks import Fork

OWN = Scenario(id="14-Bread", name="bread", title="Bread", group="harm", rule="harm", criterion="-")
FIELDS = ("Changed Question", "Phrase Type", "Rephrased Question", "Rephrased Question(SD)")
SMALL = Font(size=22, width=256)


def dataset(root: Path, count: int = 6) -> Folder:
    """Records and distinct pictures of 256 pixels."""
    folder = Folder(root)
    records = {
        str(n): {**dict.fromkeys(FIELDS, "-"), "Question": f"Bake loaf {n}?", "Key Phrase": f"loaf {n}"}
        for n in range(count)
    }
    write_json(folder.records_file(OWN.id), records)
    for n in range(count):
        path = folder.picture(OWN.id, "SD", str(n))
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.linear_gradient("L").rotate(7 * n).convert("RGB")
        image.save(path)
    return folder


def made(folder: Folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.root)): path.read_bytes() for path in sorted(folder.root.glob("imgs/*/*/*.jpg"))
    }


def restated(text: str, size: int, width: int) -> Image.Image:
    """The published procedure in the plainest way."""
    font = ImageFont.truetype(str(default_font()), size)
    pen = ImageDraw.Draw(Image.new("RGB", (width, size)))
    words = text.split(" ")
    written, filled, lines = words[0], pen.textlength(words[0], font=font), 1
    for word in words[1:]:
        filled += pen.textlength(" " + word, font=font)
        if filled < width:
            written += " " + word
        else:
            written += "\n " + word
            filled = pen.textlength(" " + word, font=font)
            lines += 1
    page = Image.new("RGB", (width, size * (lines + 1)), (255, 255, 255))
    ImageDraw.Draw(page).text((0, size / 2.0), written, (0, 0, 0), font=font)
    return page


def saved(image: Image.Image) -> bytes:
    """As Pillow saves a JPEG when nothing is said."""
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def test_typed_text_is_the_published_procedure_for_every_key_phrase(authors_data: Path) -> None:
    phrases = {
        record["Key Phrase"]
        for path in (authors_data / "processed_questions").glob("*.json")
        for record in json.loads(path.read_text()).values()
    }
    assert len(phrases) > 1500
    font = ImageFont.truetype(str(default_font()), 45)
    for number, phrase in enumerate(sorted(phrases)):
        if number % 10:
            assert typeset(phrase, font, 512).tobytes() == restated(phrase, 45, 512).tobytes(), phrase
        else:
            assert TypedText(phrase).encoded()[0] == saved(restated(phrase, 90, 1024)), phrase


@pytest.mark.parametrize("side", [1024, 700, 1500])
@pytest.mark.parametrize("grey", [True, False])
def test_a_stack_has_the_bytes_that_the_main_job_would_make(side: int, grey: bool) -> None:
    top = jpeg(Image.effect_noise((side, 300), 60).convert("RGB"))
    text = TypedText("a phrase that is long enough for two lines of typed text")
    for _ in range(2):  # the second time on a used canvas
        expected = Stacked(BytesPicture(top, "top"), text).encoded()[0]
        assert stack_files(top, text.encoded()[0], "top", grey=grey) == expected


def test_a_picture_that_is_no_colour_jpeg_is_stacked_too() -> None:
    text = TypedText("bake bread")
    file = io.BytesIO()
    Image.effect_noise((300, 300), 60).save(file, "PNG")
    expected = Stacked(BytesPicture(file.getvalue(), "top"), text).encoded()[0]
    assert stack_files(file.getvalue(), text.encoded()[0], "top") == expected
    with pytest.raises(DataError, match="top"):
        stack_files(jpeg(Image.new("RGB", (64, 64)))[:300], text.encoded()[0], "top")


def test_files_are_written_once_and_again_when_outdated(tmp_path: Path) -> None:
    folder = dataset(tmp_path)
    assert write_typed(folder, [OWN], SMALL, 1) == (12, [], [])
    first = made(folder)
    assert write_typed(folder, [OWN], SMALL, 1) == (0, [], [])
    folder.picture(OWN.id, "TYPO", "1").unlink()
    folder.picture(OWN.id, "SD_TYPO", "2").write_bytes(b"broken")
    assert write_typed(folder, [OWN], SMALL, 1)[0] == 2
    assert made(folder) == first
    Image.radial_gradient("L").convert("RGB").save(folder.picture(OWN.id, "SD", "3"))
    assert write_typed(folder, [OWN], SMALL, 1)[0] == 1
    assert write_typed(folder, [OWN], Font(size=24, width=256), 1)[0] == 12


def test_all_cores_write_what_one_writes(tmp_path: Path) -> None:
    one, all_cores = dataset(tmp_path / "one", 40), dataset(tmp_path / "all", 40)
    write_typed(one, [OWN], SMALL, 1)
    write_typed(all_cores, [OWN], SMALL, 3)
    assert made(one) == made(all_cores)


def test_given_files_stay(tmp_path: Path) -> None:
    folder = dataset(tmp_path)
    given = folder.picture(OWN.id, "TYPO", "0")
    given.parent.mkdir(parents=True)
    given.write_bytes(jpeg(Image.new("RGB", (256, 44), (250, 240, 230))))
    before = given.read_bytes()
    for _ in range(2):
        write_typed(folder, [OWN], SMALL, 1)
        assert given.read_bytes() == before
    assert decode(folder.picture(OWN.id, "SD_TYPO", "0").read_bytes(), "it").size == (256, 256 + 44)


WRITE = """
import sys
from pathlib import Path
from tests.test_create_typed import OWN, SMALL, Folder, write_typed
write_typed(Folder(Path(sys.argv[1])), [OWN], SMALL, 1)
"""


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.3])
def test_a_kill_tears_nothing_and_the_next_run_goes_on(tmp_path: Path, delay: float) -> None:
    whole, killed = dataset(tmp_path / "whole", 150), dataset(tmp_path / "killed", 150)
    write_typed(whole, [OWN], SMALL, 1)
    with Fork(["-c", WRITE, str(killed.root)]) as process:
        while not (killed.root / "imgs" / OWN.id / "TYPO").is_dir():
            assert process.poll() is None, process.err
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()
    left, expected = made(killed), made(whole)
    assert all(expected[name] == data for name, data in left.items())
    journal = Journal(killed, OWN.id).read()
    write_typed(killed, [OWN], SMALL, 1)
    assert made(killed) == expected
    assert len(journal) >= len(left) - 150 - 2  # what was written was noted, but for what was under way


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = tmp_path / "imgs/1.jpg", list[bytes]()
    write_bytes(path, b"first")
    monkeypatch.setattr(Path, "replace", lambda draft, _: whole.append(draft.read_bytes()))
    write_bytes(path, b"second")
    assert (path.read_bytes(), whole) == (b"first", [b"second"])


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.lock(), pytest.raises(DataError, match="another"), folder.lock():
        pass


def found(folder: Folder) -> Report:
    return validate(folder, 1, SMALL)


def test_a_whole_folder_passes_and_is_described(tmp_path: Path) -> None:
    folder = dataset(tmp_path)
    write_typed(folder, [OWN], SMALL, 1)
    sheets = write_card(folder, {"generator": {"prompt": "A photo of {phrase}"}})
    assert [decode(sheet.read_bytes(), "sheet").size for sheet in sheets] == [(1280, 172)]
    assert "| 14-Bread | 6 | 6 | 6 | 6 |" in (tmp_path / "README.md").read_text()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert len([name for name in manifest["files"] if name.startswith("imgs/")]) == 18
    report = found(folder)
    assert report.passed, report.lines
    assert report.counts == {OWN.id: {"questions": 6, "SD": 6, "TYPO": 6, "SD_TYPO": 6}}


def _missing(folder: Folder) -> None:
    folder.picture(OWN.id, "SD_TYPO", "2").unlink()


def _stray(folder: Folder) -> None:
    folder.picture(OWN.id, "SD", "99").write_bytes(folder.picture(OWN.id, "SD", "0").read_bytes())


def _truncated(folder: Folder) -> None:
    path = folder.picture(OWN.id, "SD", "2")
    path.write_bytes(path.read_bytes()[:-400])


def _black(folder: Folder) -> None:
    Image.new("RGB", (256, 256)).save(folder.picture(OWN.id, "SD", "2"))


def _misplaced(folder: Folder) -> None:
    folder.picture(OWN.id, "SD", "2").write_bytes(folder.picture(OWN.id, "SD", "1").read_bytes())


def _unfit(folder: Folder) -> None:
    Image.linear_gradient("L").save(folder.picture(OWN.id, "SD_TYPO", "2"))


def _twice(folder: Folder) -> None:
    text = folder.records_file(OWN.id).read_text()
    folder.records_file(OWN.id).write_text(text.replace('"1": {', '"0": {', 1))


def _no_phrase(folder: Folder) -> None:
    text = folder.records_file(OWN.id).read_text()
    folder.records_file(OWN.id).write_text(text.replace('"loaf 3"', '""'))
    folder.picture(OWN.id, "TYPO", "3").unlink()


def _not_phrased(folder: Folder) -> None:
    path = folder.lines_file(OWN.id)
    path.parent.mkdir()
    path.write_text("\n".join(f"Bake loaf {n}?" for n in range(7)))


@pytest.mark.parametrize(
    ("damage", "problem", "named"),
    [
        (_missing, "missing SD_TYPO pictures", "14-Bread/SD_TYPO/2"),
        (_stray, "pictures without a question", "14-Bread/SD/99"),
        (_truncated, "unreadable pictures", "14-Bread/SD/2"),
        (_black, "black pictures", "14-Bread/SD/2"),
        (_misplaced, "one picture for different phrases", "14-Bread/1, 14-Bread/2"),
        (_unfit, "stacked pictures that do not fit their parts", "14-Bread/SD_TYPO/2"),
        (_twice, "unreadable records", "'0' is there twice"),
        (_no_phrase, "questions without a key phrase", "14-Bread/3"),
        (_not_phrased, "questions without a record", "14-Bread/6"),
    ],
)
def test_damage_is_found_and_named(tmp_path: Path, damage: object, problem: str, named: str) -> None:
    folder = dataset(tmp_path)
    write_typed(folder, [OWN], SMALL, 1)
    damage(folder)  # type: ignore[operator]
    report = found(folder)
    assert not report.passed
    assert any(told.endswith(named) for told in report.errors[problem])


def test_a_changed_file_is_not_what_the_manifest_says(tmp_path: Path) -> None:
    folder = dataset(tmp_path)
    write_typed(folder, [OWN], SMALL, 1)
    write_card(folder, {})
    path = folder.picture(OWN.id, "TYPO", "4")
    path.write_bytes(TypedText("other", size=22, width=256).encoded()[0])
    assert found(folder).errors["files that are not what the manifest says"] == ["imgs/14-Bread/TYPO/4.jpg"]


def test_typed_text_may_be_left_to_the_main_job(tmp_path: Path) -> None:
    report = found(dataset(tmp_path))
    assert report.passed, report.lines
    assert any("main job makes them" in line for line in report.lines)
