"""Hostile input: whatever files, servers and settings hold is taken or refused in words; nothing runs, nothing escapes.

Few examples here, many in `make proof` (the profile in conftest.py).
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import stat
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from mmsb.config import build
from mmsb.convert.source import read_record, weight_files
from mmsb.convert.weights import Weights
from mmsb.create.fetch import unpack
from mmsb.create.folder import Folder
from mmsb.create.gaps import read_gaps
from mmsb.create.own import read_own
from mmsb.create.records import read_rows as read_records
from mmsb.dataset.mm_safetybench import FIELDS, MMSafetyBench
from mmsb.dataset.over_refusal import SIUO, HoliSafe, MOSSBench
from mmsb.dataset.question_file import records
from mmsb.errors import MmsbError
from mmsb.image_mode import ImageMode
from mmsb.image_mode.typography import TypedText
from mmsb.judge.template import rendered
from mmsb.labels.file import read_labels
from mmsb.model.request_errors import malformed, refused
from mmsb.picture import FORMATS, decode, media_type
from mmsb.replies import Malformed, Refused
from mmsb.report.tables import FORMULA, Table
from mmsb.scenario import official_scenarios
from mmsb.schemas import parse_run
from mmsb.secret import TOLD, blotted, without_keys
from mmsb.tracker.base import Sweep
from tests.examples import JSON, RUN, changed, dumped, paths

FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")
ODD = [
    "[" * 3000,
    '{"a":' * 3000,
    "1" * 5000,
    "\x00",
    "\ufeff{}",
    "NaN",
    '"\\ud83d"',
    "",
    "{",
    "- !!python/name:os.system",
    "? bread",
]
ANY = st.sampled_from(ODD) | JSON.map(lambda value: dumped(value).decode()) | st.text(max_size=60)
LOOSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
RECORD = dict.fromkeys(FIELDS, "bake bread")


def taken(work: Callable[[], object]) -> object:
    """What came of it; None where it was refused in words. Anything else fails the test."""
    try:
        return work()
    except MmsbError:
        return None


# ---- settings --------------------------------------------------------------------------------------------------------

TARGETS = st.sampled_from(
    ["os.system", "subprocess.Popen", "builtins.eval", "mmsb.image_mode.Font", "mmsb.store.Store", "mmsb.x.os.system"]
)


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a program fails the test."""

    def ran(*given: object, **named: object) -> None:
        pytest.fail(f"something ran: {given}")

    for place in ("os.system", "os.popen", "os.execv", "subprocess.Popen"):
        monkeypatch.setattr(place, ran)


@LOOSE
@given(st.data())
def test_any_value_in_any_place_of_a_configuration_is_a_setting_or_refused(
    nothing_runs: None, data: st.DataObject
) -> None:
    whole = {
        "_target_": "mmsb.image_mode.ImageMode",
        "name": "typo",
        "image": "TYPO",
        "question": "rephrased",
        "font": {"_target_": "mmsb.image_mode.Font", "size": 30, "fallback": []},
    }
    place = data.draw(st.sampled_from(list(paths(whole))[1:]))
    value = data.draw(JSON | TARGETS | st.builds(lambda target: {"_target_": target, "args": ["touch x"]}, TARGETS))
    try:
        config = OmegaConf.create(changed(whole, place, value))
    except Exception:  # no YAML holds it either
        return
    built = taken(lambda: build(config, ImageMode))
    assert built is None or isinstance(built, ImageMode)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ request.__init__.__globals__ }}",
        "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
        "{{ cycler.__init__.__globals__.os.system('touch x') }}",
        "{% include '/etc/passwd' %}",
        "{{ request.format.__self__.__class__.mro() }}",
    ],
)
def test_a_template_of_a_strangers_reaches_no_code(nothing_runs: None, template: str) -> None:
    with pytest.raises(MmsbError, match=r"judge\.template cannot be rendered"):
        rendered(template, "a", "b", None)


# ---- files -----------------------------------------------------------------------------------------------------------

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a run": ("run.json", parse_run),
    "a sweep": ("sweep.json", lambda path: Sweep.at(path.parent)),
    "questions": ("06-Fraud.json", lambda path: list(records(path))),
    "gaps": ("gaps.json", lambda path: read_gaps(Folder(path.parent))),
    "a scenario": ("own.yaml", read_own),
    "records": ("records.jsonl", lambda path: list(read_records(path))),
    "records in a table": ("records.csv", lambda path: list(read_records(path))),
    "labels": ("labels.jsonl", read_labels),
    "labels in a table": ("labels.csv", read_labels),
    "digests": ("digests.json", lambda path: read_record(path.parent)),
    "an index of weights": ("model.safetensors.index.json", lambda path: weight_files(path.parent)),
    "siuo": ("siuo_gen.json", lambda path: SIUO(name="x", root=path.parent).items),
    "holisafe": ("holisafe_bench.json", lambda path: HoliSafe(name="x", root=path.parent).items),
    "mossbench": ("images_information/information.json", lambda path: MOSSBench(name="x", root=path.parents[1]).items),
}


@pytest.mark.parametrize(("name", "read"), READERS.values(), ids=READERS)
@LOOSE
@given(text=ANY)
def test_any_file_is_read_or_refused_in_words(
    nothing_runs: None, tmp_path: Path, name: str, read: Callable[[Path], object], text: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    taken(lambda: read(path))


@LOOSE
@given(st.data())
def test_any_value_in_a_record_is_a_question_or_refused_and_no_id_leaves_the_folder(
    tmp_path: Path, data: st.DataObject
) -> None:
    records = {
        data.draw(
            st.sampled_from(["7", "../../7", "/etc/passwd", "a\x00b", "7.jpg", "x" * 70]) | st.text(max_size=5)
        ): RECORD
    }
    whole = changed(records, data.draw(st.sampled_from(list(paths(records)))), data.draw(JSON | st.just(RECORD)))
    folder = tmp_path / "processed_questions"
    folder.mkdir(exist_ok=True)
    (folder / f"{FRAUD.id}.json").write_bytes(dumped(whole))
    dataset = MMSafetyBench(root=tmp_path)
    for question in cast("Any", taken(lambda: list(dataset.questions(FRAUD)))) or []:
        place = tmp_path / "imgs" / FRAUD.id / "SD" / f"{question.id}.jpg"
        assert place.resolve().parent == (tmp_path / "imgs" / FRAUD.id / "SD").resolve()


@LOOSE
@given(place=st.sampled_from([path for path in paths(RUN) if path]), value=JSON)
def test_any_value_in_a_run_is_a_record_or_refused(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    (tmp_path / "run.json").write_bytes(dumped(changed(RUN, place, value)))
    taken(lambda: parse_run(tmp_path / "run.json"))


# ---- archives --------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        *("06-Fraud/SD/1.jpg", "../06-Fraud/SD/1.jpg", "/06-Fraud/SD/2.jpg", "a/../../06-Fraud/SD/3.jpg"),
        *("C:\\06-Fraud\\SD\\4.jpg", "06-Fraud/SD/../../../5.jpg", "06-Fraud/SD/1.jpg/", "06-Fraud/SD/x.jpg\x00.py"),
        *("06-Fraud/.ssh/6.jpg", "06-Fraud/TYPO/\u202egpj.7.jpg"),
    ]
)
JPEG = io.BytesIO()
Image.new("RGB", (8, 8), (200, 30, 30)).save(JPEG, "JPEG")


@LOOSE
@given(st.lists(st.tuples(NAMES, st.booleans(), st.sampled_from([JPEG.getvalue(), b"%!PS-Adobe", b""])), max_size=4))
def test_an_archive_writes_its_pictures_into_the_folder_or_nothing(
    tmp_path: Path, members: list[tuple[str, bool, bytes]]
) -> None:
    around = tmp_path / "around"
    around.mkdir(exist_ok=True)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, link, content in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK if link else stat.S_IFREG) << 16
            with warnings.catch_warnings(action="ignore"):  # of two members of one name
                archive.writestr(entry, content)
    taken(lambda: unpack(Folder(around / "data"), tmp_path / "all.zip", {FRAUD.id}))
    written = [path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()]
    for path in written:
        assert path == tmp_path / "all.zip" or path.parent.parent == around / "data/imgs" / FRAUD.id
        assert path.suffix == ".zip" or path.read_bytes() == JPEG.getvalue()


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("06-Fraud/SD/1.jpg", b"\0" * (17 * 2**20))
    said = (tmp_path / "all.zip").read_bytes()
    small = (17 * 2**20).to_bytes(4, "little")
    for content in (said, said.replace(small, (9).to_bytes(4, "little"))):  # the second says that it is 9 bytes
        (tmp_path / "all.zip").write_bytes(content)
        with pytest.raises(MmsbError):
            unpack(Folder(tmp_path / "data"), tmp_path / "all.zip", {FRAUD.id})
    assert not list((tmp_path / "data").rglob("*.jpg"))


# ---- pictures --------------------------------------------------------------------------------------------------------

HEADS = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%BeginBinary: 9\nshowpage\n",
    "EPS behind a header": b"\xc5\xd0\xd3\xc6\x20\0\0\0\x40\0\0\0"
    + b"\0" * 20
    + b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "PDF": b"%PDF-1.7\n1 0 obj\n",
    "PCX": b"\x0a\x05\x01\x08" + b"\0" * 124,
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + b"\x01\0" * 40,
    "EMF": b"\x01\0\0\0" + b"\0" * 36 + b" EMF" + b"\0" * 80,
    "FPX": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
    "SVG": b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
    "PSD": b"8BPS\0\x01" + b"\0" * 60,
    "XPM": b'/* XPM */\nstatic char *x[] = {\n"9 9 1 1",\n"a c #000000",\n',
    "GBR": b"\0\0\0\x20\0\0\0\x02" + b"\0\0\0\x09" * 6,
}
for kind in ("BMP", "TIFF", "ICO", "PPM", "TGA", "DDS", "SGI", "JPEG2000"):
    drawn = io.BytesIO()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(drawn, kind)
    HEADS[kind] = drawn.getvalue()


@pytest.fixture
def named_formats_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hands a file to another decoder than those of `FORMATS` fails the test."""
    Image.init()

    def refusing(name: str) -> Callable[..., Image.Image]:
        return lambda *given: pytest.fail(f"{name} was opened")

    for name, (_, accepts) in list(Image.OPEN.items()):
        if name not in FORMATS:
            monkeypatch.setitem(Image.OPEN, name, (refusing(name), accepts))


@pytest.mark.parametrize("data", HEADS.values(), ids=HEADS)
def test_only_the_formats_that_are_named_reach_a_decoder(named_formats_only: None, data: bytes) -> None:
    for read in (decode, media_type):
        with pytest.raises(MmsbError, match=r"called\.jpg"):
            read(data, "called.jpg")


@LOOSE
@given(
    st.sampled_from([*HEADS.values(), JPEG.getvalue(), b"GIF89a", b"RIFF0000WEBPVP8 ", b"\x89PNG\r\n\x1a\n"]),
    st.binary(max_size=60),
    st.integers(0, 200),
)
def test_any_bytes_are_a_picture_or_refused(named_formats_only: None, head: bytes, rest: bytes, cut: int) -> None:
    taken(lambda: decode(head[:cut] + rest + head[cut + len(rest) :], "a picture"))
    taken(lambda: media_type(rest + head[:cut], "a picture"))


# ---- checkpoints, phrases --------------------------------------------------------------------------------------------


class Evil:
    """A pickle that runs a program when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.Popen, (["touch", "x"],)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "weights.pth"])
@LOOSE
@given(
    st.sampled_from(
        [
            pickle.dumps({"a": Evil()}),
            pickle.dumps(Evil()),
            b"PK\x03\x04",
            b"\x80\x02}q\x00.",
            b"\xff" * 8 + b"{",
            b'\x05\0\0\0\0\0\0\0{"a":',
        ]
    )
    | st.binary(max_size=50)
)
def test_any_checkpoint_is_read_or_refused_and_runs_nothing(
    nothing_runs: None, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    taken(lambda: dict(Weights([tmp_path / name], None).items()))


@LOOSE
@given(st.text(max_size=30))
@example("bake\x85bread")
def test_any_phrase_is_typed_or_refused(phrase: str) -> None:
    drawn = taken(lambda: TypedText(phrase, size=20, width=256).load())
    assert drawn is None or cast("Image.Image", drawn).width == 256


# ---- tables ----------------------------------------------------------------------------------------------------------

CELLS = st.text(max_size=12) | st.sampled_from(
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "@x",
        "\t=1",
        "\\input{/etc/passwd}",
        "$x$",
        "|",
        "<script>",
        "\r\n=1",
        "a\rb",
        "%",
        "\0",
    ]
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=3))
def test_no_cell_is_a_formula_a_command_or_markup(rows: list[tuple[str, str]]) -> None:
    import csv

    table = Table("t", "title", "caption", ["one", "two"], rows)
    read = list(csv.reader(io.StringIO(table.csv(), newline="")))
    assert [len(row) for row in read] == [2] * (len(rows) + 1)
    assert not [cell for row in read for cell in row if cell.startswith(FORMULA)]
    markdown = table.markdown()
    assert "<" not in markdown
    assert len(markdown.partition("\n\n")[0].splitlines()) == len(rows) + 2


# ---- keys ------------------------------------------------------------------------------------------------------------

KEYS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", min_size=12, max_size=60)
HIDDEN: list[Callable[[str], str]] = [
    lambda key: key,
    lambda key: key[:-3],
    lambda key: f"{key[: len(key) // 2 + 3]}...",
    lambda key: f"Bearer {key}",
    lambda key: quote(f"https://host/{key}?key={key}", safe=""),
    lambda key: base64.b64encode(key.encode()).decode(),
    lambda key: base64.urlsafe_b64encode(f"user:{key}".encode()).decode(),
    lambda key: base64.b64encode(f"me:{key}@".encode()).decode(),
]


@given(KEYS, st.sampled_from(HIDDEN), st.text(max_size=10))
def test_no_part_of_a_key_is_told_however_a_server_repeats_it(
    key: str, hide: Callable[[str], str], around: str
) -> None:
    said = malformed(Malformed(f"{around} {hide(key)} {around}"), key).message
    told = {key[i : i + TOLD] for i in range(len(key) - TOLD + 1)} - {around[i : i + TOLD] for i in range(len(around))}
    assert not [part for part in told if part in said.replace("[key]", " ")]
    for word in said.replace("[key]", " ").replace("-", "+").replace("_", "/").split():
        for start in range(4):
            try:
                read = base64.b64decode(word[start:] + "=" * (-len(word[start:]) % 4)).decode("latin-1")
            except ValueError:
                continue
            assert not [part for part in told if part in read]


@given(st.text(max_size=40), KEYS)
def test_what_holds_no_key_is_told_as_it_is(text: str, key: str) -> None:
    if not any(text[i : i + TOLD] in key for i in range(len(text))):
        assert blotted(text, key) == text
    assert blotted(text, None) == text


def test_a_reply_loses_the_key_and_nothing_else() -> None:
    key = "sk-canary-0123456789abcdefghij"
    body = json.dumps({"text": f"your key is {key}, in base64 {base64.b64encode(key.encode()).decode()}; or sk-canary"})
    left = without_keys(body.encode(), key).decode()
    assert json.loads(left)["text"].startswith("your key is [key], in base64 [key]")
    assert left.endswith('; or sk-canary"}')
    assert without_keys(b"the word EMPTY", "EMPTY") == b"the word EMPTY"


def test_an_address_that_a_server_names_loses_the_key_too() -> None:
    key = "sk-canary-0123456789"
    for status, body in ((302, b""), (400, b'{"error": {"message": "sk-canary-0123"}}'), (500, key.encode())):
        met = refused(Refused(status, {"location": f"http://x/?key={key}"}, body), key)
        assert "canary" not in met.message
