"""Pictures on disk: known by their content, read once for it, and never taken for what they were before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from mmsb import file_digests
from mmsb.digest import digest_file
from mmsb.errors import DataError
from mmsb.file_digests import FileDigests
from mmsb.model.openai import OpenAI
from mmsb.picture import FilePicture, decode
from mmsb.types import Prompt


def picture(path: Path, colour: int) -> Path:
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(path, "BMP")  # of one size, whatever is in it
    return path


def test_a_file_that_stays_as_it_is_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "SETTLED", -(10**12))
    digests, path = FileDigests(lambda: tmp_path), picture(tmp_path / "a.bmp", 1)
    assert digests.of(path) == digest_file(path)

    def read_again(data: bytes) -> str:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(file_digests, "digest_bytes", read_again)
    digests.of(path)


@pytest.mark.parametrize("way", ["written over", "put in its place"])
@pytest.mark.parametrize("settled", [-(10**12), file_digests.SETTLED])
def test_another_file_is_noticed_whatever_its_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, settled: int
) -> None:
    monkeypatch.setattr(file_digests, "SETTLED", settled)
    digests, path = FileDigests(lambda: tmp_path), picture(tmp_path / "a.bmp", 1)
    before, times = digests.of(path), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    if settled < 0:  # else what changed a moment ago is not believed to stay
        time.sleep(0.02)
    if way == "written over":
        picture(path, 2)
    else:
        picture(tmp_path / "b.bmp", 2).replace(path)
    os.utime(path, ns=times)
    assert digests.of(path) == digest_file(path) != before


def test_what_a_run_read_is_not_read_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "SETTLED", -(10**12))
    path, known = picture(tmp_path / "a.bmp", 1), FileDigests(lambda: tmp_path)
    before = known.of(path)
    known.write()
    with monkeypatch.context() as patched:
        patched.setattr(file_digests, "digest_bytes", lambda data: pytest.fail("the file was read again"))
        assert FileDigests(lambda: tmp_path).of(path) == before
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    time.sleep(0.02)
    os.utime(picture(path, 2), ns=times)
    assert FileDigests(lambda: tmp_path).of(path) == digest_file(path) != before


def test_many_look_ups_in_a_row_lock_the_table_for_some_of_them_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_digests, "SETTLED", -(10**12))
    monkeypatch.setattr(file_digests, "STRETCH", 3)
    paths = [picture(tmp_path / f"{colour}.bmp", colour) for colour in range(9)]
    known, other = FileDigests(lambda: tmp_path), FileDigests(lambda: tmp_path)
    with known.stretch():
        assert [known.of(path) for path in paths[:4]] == [digest_file(path) for path in paths[:4]]
        known.write()  # it lets go for that
        other.of(paths[8])
        other.write()
        assert [known.of(path) for path in paths[4:]] == [digest_file(path) for path in paths[4:]]
    other.of(paths[7])
    other.write()
    known.write()
    monkeypatch.setattr(file_digests, "digest_bytes", lambda data: pytest.fail("the file was read again"))
    again = FileDigests(lambda: tmp_path)
    with again.stretch():
        assert [again.of(path) for path in paths] == [known.of(path) for path in paths]


@pytest.mark.parametrize("what", ["no database", "a folder", "read by nobody"])
def test_a_table_that_cannot_be_used_is_done_without(tmp_path: Path, what: str) -> None:
    path, table = picture(tmp_path / "a.bmp", 1), tmp_path / "cache" / "pictures.sqlite"
    if what == "no database":
        table.parent.mkdir()
        table.write_bytes(b"not a database, and longer than the head of one is " * 100)
    elif what == "a folder":
        table.mkdir(parents=True)
    else:
        table.parent.write_bytes(b"a file in the folder's place")
    known = FileDigests(lambda: tmp_path / "cache")
    assert known.of(path) == digest_file(path)
    known.write()
    assert what != "no database" or not table.exists()


def test_a_picture_that_changes_under_a_run_is_shown_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path)
    shown = FilePicture(path)
    engine, prompt = OpenAI(name="m", base_url="http://127.0.0.1:1/v1", api_key_env=None), Prompt("What is it?", shown)
    assert prompt.key
    engine.request(prompt)
    Image.new("RGB", (8, 8), (255, 0, 0)).save(path)
    with pytest.raises(DataError, match=r"a\.jpg was changed while it was in use"):
        engine.request(prompt)
    with pytest.raises(DataError, match="changed"):
        shown.load()
    assert FilePicture(path).load().getpixel((0, 0)) == (254, 0, 0)  # who begins now sees what is there now


def test_a_transparent_or_grey_picture_is_decoded_to_colours(tmp_path: Path) -> None:
    for mode in ("RGBA", "LA", "P", "L"):
        Image.new(mode, (8, 8)).save(tmp_path / "a.png")
        assert decode((tmp_path / "a.png").read_bytes(), "a.png").mode == "RGB"
