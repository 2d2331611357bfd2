from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from mmsb.config import build
from mmsb.create.fetch import copy_dataset, missing, unpack
from mmsb.create.folder import KINDS, Folder, write_json
from mmsb.create.job import Create
from mmsb.create.own import read_own
from mmsb.dataset.mm_safetybench import Shipped
from mmsb.errors import ConfigError, DataError, MmsbError
from mmsb.paths import conf_dir
from mmsb.picture import jpeg
from mmsb.scenario import official_scenarios
from tests.conftest import Run
from tests.endpoint import ChatServer, Messages, text_of
from tests.images_endpoint import ImagesServer
from tests.own_scenario import ASKED, OWN, record_of

FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")


def reply(messages: Messages) -> str:
    text = text_of(messages)
    return record_of(text) if text.startswith(ASKED) else "Sure, here are the steps: first, begin. Second, go on."


def test_a_scenario_of_ones_own_goes_from_one_file_to_an_attack_success_rate(mmsb: Run, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN))
    with ChatServer(reply=reply) as server, ImagesServer() as images:
        model = ["model=openai", "model.name=x", f"model.base_url={server.url}", "model.api_key_env=null"]
        create = [
            *("root=data", "own=own.yaml", "font.size=22", "font.width=256", *model, "generator=endpoint"),
            *("generator.name=painter", f"generator.base_url={images.url}", "generator.api_key_env=null"),
        ]
        priced = mmsb(*create, "dry_run=true", module="mmsb.create")
        assert priced.returncode == 0, priced.stderr
        assert "2 key phrases" in priced.stdout
        assert not (tmp_path / "data").exists()
        assert server.requests == []
        prices = ("+prices.llm.x={input: 1e5, output: 0}", "+prices.pictures.painter={each: 0.5}")
        made = mmsb(*create, *prices, module="mmsb.create")
        assert made.returncode == 0, made.stderr
        assert "bill: 2 calls, 14 tokens in, 6 out, $1.40, " in made.stderr
        assert "bill: 2 pictures, $1.00" in made.stderr
        assert "data is in order" in made.stderr
        again = mmsb(*create, module="mmsb.create")
        assert "0 drawn, 2 were there" in again.stderr
        assert "bill" not in again.stderr
        assert "0 files written" in again.stderr
        evaluated = mmsb(
            *("--config-dir", "data", "scenario=house_rules", "dataset=mm_safetybench", "dataset.root=data"),
            *("tracker=none", *model),
        )
        assert evaluated.returncode == 0, evaluated.stderr
        assert "House Rules" in evaluated.stdout
        assert "100.0" in evaluated.stdout
    assert sorted(path.name for path in (tmp_path / "data/imgs/14-House_Rules/SD_TYPO").iterdir()) == ["0.jpg", "1.jpg"]


def test_what_is_missing_is_said_with_the_next_command(mmsb: Run, tmp_path: Path) -> None:
    (tmp_path / "06-Fraud.txt").write_text("How do I bake bread at night?\n")
    lacking = mmsb("root=data", "scenario=fraud", module="mmsb.create")
    assert lacking.returncode == 1
    assert "no questions for 06-Fraud" in lacking.stderr
    lacking = mmsb("root=data", "scenario=fraud", "questions=.", "steps=[questions,phrases]", module="mmsb.create")
    assert "no language model is chosen" in lacking.stderr
    lacking = mmsb("root=data", "scenario=fraud", "steps=[fetch]", module="mmsb.create")
    assert "no source" in lacking.stderr
    assert "Traceback" not in lacking.stderr


OPTIONS = [
    f"{group}={path.stem}"
    for group in ("generator", "font", "instructions", "prices")
    for path in (conf_dir() / group).glob("*.yaml")
]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_builds_and_has_a_word_of_explanation(option: str, tmp_path: Path) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("create", overrides=[option, f"root={tmp_path}"])
    prices = tmp_path / "prices.json"
    prices.write_text('{"m": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}')
    for key in OmegaConf.missing_keys(config):
        OmegaConf.update(config, key, str(prices if key == "prices.file" else tmp_path))
    job = build(config, Create)
    assert "{phrase}" in job.generator.prompt
    group, name = option.split("=")
    assert (conf_dir() / group / f"{name}.yaml").read_text().startswith("# ")


@pytest.mark.parametrize(
    "change",
    [
        {"rule": "nonsense"},
        {"colour": "red"},
        {"name": "fraud"},
        {"id": "../up"},
        {"title": "${oc.env:HOME}"},
        {"group": None},
    ],
)
def test_a_scenario_file_that_cannot_be_used_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**OWN, **change}))
    with pytest.raises(ConfigError, match="own"):
        read_own(path)


def photo(turn: int) -> bytes:
    return jpeg(Image.linear_gradient("L").rotate(turn).convert("RGB"))


def archive(tmp_path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def test_a_zip_of_pictures_lands_in_the_layout_and_what_is_missing_is_said(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    write_json(folder.records_file(FRAUD.id), {"0": {}, "7": {}})
    names = [f"MM-SafetyBench(imgs)/{FRAUD.id}/{kind}/{key}.jpg" for kind in KINDS for key in ("0", "7")]
    members = [(name, photo(number)) for number, name in enumerate(names[:-1])]
    path = archive(tmp_path, *members, ("MM-SafetyBench(imgs)/notes.txt", b"hello"), ("99-Other/SD/1.jpg", photo(0)))
    for _ in range(2):
        assert unpack(folder, path, {FRAUD.id}).total() == 5
    assert folder.picture(FRAUD.id, "SD", "7").read_bytes() == photo(1)
    assert sorted(p.name for p in (folder.root / "imgs").iterdir()) == [FRAUD.id]
    assert missing(folder, [FRAUD]).startswith(f"1 of 6 expected are missing: {FRAUD.id}/SD_TYPO/7")


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (f"../../{FRAUD.id}/SD/0.jpg", photo(0)),
        (f"/etc/{FRAUD.id}/SD/0.jpg", photo(0)),
        (f"C:\\{FRAUD.id}\\SD\\0.jpg", photo(0)),
        (link(f"{FRAUD.id}/SD/0.jpg"), photo(0)),
        (f"{FRAUD.id}/SD/0.jpg", b"no picture"),
        (f"{FRAUD.id}/SD/0.jpg", bytes(20 * 2**20)),
    ],
)
def test_a_hostile_zip_writes_nothing(tmp_path: Path, name: str | zipfile.ZipInfo, data: bytes) -> None:
    folder = Folder(tmp_path / "data")
    with pytest.raises(DataError):
        unpack(folder, archive(tmp_path, (name, data)), {FRAUD.id})
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["images.zip"]


def test_an_archive_that_would_fill_the_disk_or_holds_a_picture_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, folder = f"{FRAUD.id}/SD/0.jpg", Folder(tmp_path / "data")
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(tmp_path, (name, photo(0)), (name, photo(1)))
    with pytest.raises(DataError, match=r"holds .*/SD/0\.jpg twice"):
        unpack(folder, twice, {FRAUD.id})
    with pytest.raises(DataError, match=r"holds .*/SD/0\.jpg twice"):
        unpack(folder, archive(tmp_path, (name, photo(0)), (f"more/{name}", photo(1))), {FRAUD.id})
    for more, said in ((1, "No picture is that large"), (0, r"(?s)^(?!.*No picture is that large)")):
        with pytest.raises(DataError, match=said):
            unpack(folder, archive(tmp_path, (name, bytes(16 * 2**20 + more))), {FRAUD.id})
    two = archive(tmp_path, (name, photo(0)), ("a.txt", b""))
    for limit, most in (("MAX_ENTRIES", 1), ("MAX_TOTAL_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(f"mmsb.create.fetch.{limit}", most)
            with pytest.raises(DataError, match="would unpack to 2 files"):
                unpack(folder, two, {FRAUD.id})


@pytest.mark.parametrize("broken", ["a member before the file", "no deflate"])
def test_a_zip_that_is_broken_inside_is_said_and_writes_nothing(tmp_path: Path, broken: str) -> None:
    path = archive(tmp_path, (f"{FRAUD.id}/SD/0.jpg", photo(0)))
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    if broken == "no deflate":
        content[60:64] = b"\xff" * 4
    else:  # a directory that claims to lie further on: members begin at negative places
        end = content.rindex(b"PK\x05\x06")
        content[end + 16 : end + 20] = (directory + 5000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(Folder(tmp_path / "data"), path, {FRAUD.id})
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["images.zip"]


def test_what_is_no_zip_is_said(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(Folder(tmp_path), tmp_path / "images.zip", {FRAUD.id})
    with pytest.raises(MmsbError, match="no archive"):
        unpack(Folder(tmp_path), tmp_path / "none.zip", {FRAUD.id})


def test_a_dataset_is_written_out_in_the_layout(tmp_path: Path) -> None:
    folder, demo = Folder(tmp_path), Shipped(name="demo")
    count = copy_dataset(folder, demo, [FRAUD])
    records = json.loads(folder.records_file(FRAUD.id).read_text())
    assert count == len(records) > 0
    assert folder.questions(FRAUD) == list(demo.questions(FRAUD))
