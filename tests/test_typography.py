from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageChops, ImageDraw, ImageFont, features

from mmsb.dataset.mm_safetybench import FIELDS, MMSafetyBench, Shipped
from mmsb.digest import digest
from mmsb.errors import DataError
from mmsb.font import default_font, dejavu, font_digest
from mmsb.image_mode import Font, ImageMode
from mmsb.image_mode.typography import Mixed, TypedText, pieces, wrap
from mmsb.picture import FilePicture, Stacked
from mmsb.scenario import official_scenarios

# Of the blanks in each line of the 1,680 phrases, measured with Arial 5.01 (sha256 525979822591...).
BREAKS_OF_ARIAL = "b7d9a776c92b8a28bc3fb3d8b7013f79"

PHRASES = [
    "bake bread",
    "a phrase that is long enough to be broken into several lines of typed text",
    "antidisestablishmentarianism floccinaucinihilipilification",
    "two  blanks",
    "trailing ",
    "",
    "Ünïcode — “quoted” phrase",
]


def restated(text: str, font_file: Path) -> bytes:
    """The published procedure, restated in the plainest way: 90 px, 1024 wide, greedy lines, JPEG by default."""
    font = ImageFont.truetype(str(font_file), 90)
    pen = ImageDraw.Draw(Image.new("RGB", (1024, 100)))
    words = text.split(" ")
    written, filled, lines = words[0], pen.textlength(words[0], font=font), 1
    for word in words[1:]:
        filled += pen.textlength(" " + word, font=font)
        if filled < 1024:
            written += " " + word
        else:
            written += "\n " + word
            filled = pen.textlength(" " + word, font=font)
            lines += 1
    page = Image.new("RGB", (1024, 90 * (lines + 1)), (255, 255, 255))
    ImageDraw.Draw(page).text((0, 45.0), written, (0, 0, 0), font=font)
    file = io.BytesIO()
    page.save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("phrase", PHRASES)
def test_typed_text_is_the_published_procedure_byte_for_byte(phrase: str) -> None:
    assert TypedText(phrase).encoded()[0] == restated(phrase, default_font())


def test_every_key_phrase_of_the_benchmark_is_drawn_the_published_way(authors_data: Path) -> None:
    for path in sorted((authors_data / "processed_questions").glob("*.json")):
        for record in list(json.loads(path.read_text()).values())[:12]:
            assert TypedText(record["Key Phrase"]).encoded()[0] == restated(record["Key Phrase"], default_font())


def test_a_word_that_brings_a_line_to_the_width_begins_the_next_one() -> None:
    class EveryLetterIsOnePixel:
        def getlength(self, text: str, mode: str) -> float:
            return float(len(text))

    font: Any = EveryLetterIsOnePixel()
    assert wrap("aa bb cc", font, 5) == ["aa", " bb", " cc"]
    assert wrap("aa bb cc", font, 6) == ["aa bb", " cc"]
    assert wrap("aa bb cc dd", font, 8) == ["aa bb", " cc dd"]


def test_several_fonts_set_lines_as_one_does() -> None:
    phrase, font = "stealing from the till of the bakery at night", default_font()
    mixed = Mixed((font, font), 90).typeset(phrase, 1024)
    assert ImageChops.difference(mixed, TypedText(phrase).draw()).getbbox() is None


def test_identity_follows_what_determines_the_pixels() -> None:
    assert TypedText("a").identity == TypedText("a").identity
    assert len({TypedText("a").identity, TypedText("b").identity, TypedText("a", size=80).identity}) == 3
    assert TypedText("a", width=1000).identity != TypedText("a").identity
    other = dejavu()
    assert TypedText("a", font=other).identity != TypedText("a").identity


def test_a_stack_is_the_picture_above_the_text_on_black(tmp_path: Path) -> None:
    Image.new("RGB", (512, 300), (200, 30, 30)).save(tmp_path / "top.jpg")
    top, bottom = FilePicture(tmp_path / "top.jpg"), TypedText("bake bread")
    image = Stacked(top, bottom).load()
    assert image.size == (1024, 300 + 180)
    assert max(image.crop((600, 50, 1000, 250)).convert("L").tobytes()) < 10
    difference = ImageChops.difference(image.crop((0, 300, 1024, 480)), bottom.load()).convert("L")
    assert sum(difference.histogram()[40:]) < 50  # JPEG, once more


def test_liberation_breaks_every_key_phrase_where_arial_does(authors_data: Path) -> None:
    font = ImageFont.truetype(str(default_font()), 90)
    counts = [
        [line.count(" ") for line in wrap(record["Key Phrase"], font, 1024)]
        for path in sorted((authors_data / "processed_questions").glob("*.json"))
        for record in json.loads(path.read_text()).values()
    ]
    assert len(counts) == 1680
    assert digest(counts) == BREAKS_OF_ARIAL
    assert [lines for lines in counts if len(lines) > 1] != []


def test_the_shipped_font_is_the_release_that_its_licence_names() -> None:
    assert "release 2.1.5" in default_font().with_name("LICENSE").read_text()
    assert font_digest(default_font()) == "8d91388f1d3604b3b8ae0e3ee2d140e5"


@pytest.fixture(scope="module")
def han(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A font of four Han letters, bars of different heights, and a full stop; nothing else."""
    path = tmp_path_factory.mktemp("font") / "han.ttf"
    letters = {"做": 900, "面": 700, "包": 500, "啊": 300, "。": 100}
    builder = FontBuilder(1000, isTTF=True)
    names = {letter: f"u{ord(letter):04X}" for letter in letters}
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(letter): name for letter, name in names.items()})
    glyphs = {".notdef": TTGlyphPen(None).glyph()}
    for letter, height in letters.items():
        pen = TTGlyphPen(None)
        for place, corner in enumerate([(100, 0), (100, height), (900, height), (900, 0)]):
            pen.lineTo(corner) if place else pen.moveTo(corner)
        pen.closePath()
        glyphs[names[letter]] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics({name: (1000, 100) for name in glyphs})
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupNameTable({"familyName": "Han", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.mark.parametrize("phrase", ["做面包", "रोटी बनाना", "อบขนมปัง"], ids=["Chinese", "Hindi", "Thai"])
def test_letters_that_the_font_lacks_are_an_error_that_names_phrase_and_font(phrase: str) -> None:
    with pytest.raises(DataError, match=r"LiberationSans-Regular\.ttf") as caught:
        Font().type(phrase)
    assert phrase in str(caught.value)
    assert f"U+{ord(phrase[0]):04X}" in str(caught.value)


def test_a_run_is_stopped_by_such_a_phrase_before_anything_is_asked(tmp_path: Path) -> None:
    record = {name: "做面包" for name in FIELDS}
    (tmp_path / "processed_questions").mkdir()
    scenario = official_scenarios()[5]
    (tmp_path / "processed_questions" / f"{scenario.id}.json").write_text(json.dumps({"0": record}))
    dataset = MMSafetyBench(root=tmp_path)
    (question,) = dataset.questions(scenario)
    with pytest.raises(DataError, match="做面包"):
        ImageMode(name="typo", image="TYPO", question="rephrased").picture(question, dataset)


@pytest.mark.parametrize(("field", "said"), [("Rephrased Question", "no text"), ("Key Phrase", "no key phrase")])
def test_a_question_without_words_is_asked_nothing(field: str, said: str, tmp_path: Path) -> None:
    """A picture without a question, or a white picture, would be answered all the same, and the answer judged."""
    record = dict.fromkeys(FIELDS, "bake bread") | {field: " "}
    (tmp_path / "processed_questions").mkdir()
    scenario = official_scenarios()[5]
    (tmp_path / "processed_questions" / f"{scenario.id}.json").write_text(json.dumps({"0": record}))
    dataset = MMSafetyBench(root=tmp_path)
    (question,) = dataset.questions(scenario)
    with pytest.raises(DataError, match=f"{scenario.id}/0 has {said}"):
        ImageMode(name="typo", image="TYPO", question="rephrased").prompt(question, dataset)


def test_a_fallback_font_types_what_the_first_one_lacks(han: Path) -> None:
    alone, mixed = Font(path=han).type("做"), Font(fallback=(han,)).type("bread 做")
    ink = ImageChops.invert(mixed.draw().convert("L")).getbbox()
    assert mixed.fonts == (default_font(), han)
    blank = ImageFont.truetype(str(default_font()), 90).getlength("bread ")
    assert ink is not None
    assert ink[2] == round(blank + 81)  # the bar ends at 0.9 em
    assert alone.draw().size == mixed.draw().size == (1024, 180)
    assert Font(fallback=(han,)).type("bread").identity == Font().type("bread").identity  # not needed, not part of it


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow has no Raqm here")
def test_text_that_is_read_from_the_right_is_laid_out_in_one_font(han: Path) -> None:
    """Its blanks are in the first font: word by word in two fonts, the last word would stand first."""
    phrase = "\u062e\u0628\u0632 \u0627\u0644\u062e\u0628\u0632"
    assert Font(fallback=(dejavu(),)).type(phrase).draw() == Font(path=dejavu()).type(phrase).draw()
    with pytest.raises(DataError, match="read from the right"):
        Font(path=han, fallback=(dejavu(),)).type(f"\u505a {phrase}")


def test_text_without_blanks_wraps_between_its_letters_and_keeps_full_stops_off_line_starts(han: Path) -> None:
    typed = Font(path=han, size=100, width=450).type("做面包啊。做面包")
    assert typed.lines == ["做面包", "啊。做面", "包"]
    assert typed.draw().size == (450, 400)
    assert not typed.is_cut


@pytest.mark.parametrize(
    "text", ["做面包 with flour。", "(做)「面」 包", "bake bread", " x  y ", "อบ ขนมปัง 2 kg", "a\tb 做"]
)
def test_pieces_put_together_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_a_word_wider_than_the_picture_is_known_to_be_cut() -> None:
    assert TypedText("antidisestablishmentarianism").is_cut
    assert not TypedText("bake bread").is_cut


def test_arial_of_the_checkout_is_found_used_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data/processed_questions").mkdir(parents=True)
    shutil.copy(dejavu(), tmp_path / "ARIAL.TTF")
    dataset = MMSafetyBench(root=tmp_path)
    assert dataset.font == tmp_path / "ARIAL.TTF"
    assert Font().type("bread", dataset.font).font == dataset.font
    assert "ARIAL.TTF (not the authors' file" in capsys.readouterr().err
    assert Font(path=default_font()).type("bread", dataset.font).font == default_font()


def test_the_sandbox_sets_are_typed_in_the_font_that_tiny_reads() -> None:
    for name in ("demo", "benign"):
        assert Shipped(name=name).font == dejavu()
    assert Font(path=Path("dejavu")).path == dejavu()
