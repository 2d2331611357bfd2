"""Pictures on disk: known by their content, read once for it, and never taken for what they were before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from mmsb import digest
from mmsb.digest import FileDigests, digest_file
from mmsb.errors import DataError
from mmsb.model.openai import OpenAI
from mmsb.picture import FilePicture
from mmsb.types import Prompt


def picture(path: Path, colour: int) -> Path:
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(path, "BMP")  # of one size, whatever is in it
    return path


def test_a_file_that_stays_as_it_is_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "SETTLED", -(10**12))
    digests, path = FileDigests(), picture(tmp_path / "a.bmp", 1)
    assert digests.of(path) == digest_file(path)

    def read_again(data: bytes) -> str:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(digest, "digest_bytes", read_again)
    digests.of(path)


@pytest.mark.parametrize("way", ["written over", "put in its place"])
@pytest.mark.parametrize("settled", [-(10**12), digest.SETTLED])
def test_another_file_is_noticed_whatever_its_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, settled: int
) -> None:
    monkeypatch.setattr(digest, "SETTLED", settled)
    digests, path = FileDigests(), picture(tmp_path / "a.bmp", 1)
    before, times = digests.of(path), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    if settled < 0:  # else what changed a moment ago is not believed to stay
        time.sleep(0.02)
    if way == "written over":
        picture(path, 2)
    else:
        picture(tmp_path / "b.bmp", 2).replace(path)
    os.utime(path, ns=times)
    assert digests.of(path) == digest_file(path) != before


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
