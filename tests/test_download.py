"""python -m mmsb.convert download=true: from a hub on loopback, resumed, pinned, and known by digests ever after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmsb.convert.download import settle, wanted
from mmsb.convert.source import Files, Source
from mmsb.errors import ModelError
from tests.composed_models import preset
from tests.small_hub import ModelHandler, at_the_hub, model_hub

REPOSITORY = "Vision-CAIR/vicuna-7b"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "config.json").write_text('{"vocab_size": 7}')
    (folder / "pytorch_model.bin").write_bytes(bytes(range(256)) * 80_000)  # 20 MB: pieces of 10 are kept
    (folder / "tf_model.h5").write_bytes(b"not wanted")
    return folder


def test_what_is_on_the_hub_is_fetched_and_the_rest_is_named(repository: Path, tmp_path: Path) -> None:
    ModelHandler.broken[:] = ["pytorch_model.bin"]
    with model_hub(REPOSITORY, repository) as url:
        online = {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "c")}
        command = ("mmsb.convert", "model=minigpt4", "download=true")
        ((code, told),) = at_the_hub(tmp_path, command, **online)
        assert code == 1
        assert "minigpt4 needs 3 files that are not on the hub: vision, qformer, projection" in told, told
        hand = "eva_vit_g.pth -> checkpoints/sources/eva_vit_g.pth (licence: MIT (EVA))"
        assert f"https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/BLIP2/{hand}" in told
        sent = [line for line in ModelHandler.asked if line.startswith("pytorch_model.bin")]
        assert sent[0].endswith("from 0")
        assert sent[1:] == ["pytorch_model.bin from 10485760"]  # it went on, not from the start
        assert "tf_model.h5 from 0" not in ModelHandler.asked
        ((again, _),) = at_the_hub(tmp_path, command, **online)
        assert again == 1
        assert [line for line in ModelHandler.asked if line.startswith("pytorch_model.bin")] == sent  # nothing twice
    place = tmp_path / "checkpoints/sources"
    assert (place / "vicuna-7b-v0/pytorch_model.bin").read_bytes() == (repository / "pytorch_model.bin").read_bytes()
    noted = json.loads((place / "digests.json").read_text())["vicuna-7b-v0"]
    assert (noted["repository"], noted["revision"]) == (REPOSITORY, "c" * 40)
    assert sorted(noted["files"]) == ["config.json", "pytorch_model.bin"]


def test_a_file_that_changed_since_its_first_use_is_refused(repository: Path, tmp_path: Path) -> None:
    source = Source(path="hub", origin=f"https://huggingface.co/{REPOSITORY}", licence="free")
    files = Files(tmp_path, {"language": source})
    settle(files, "language")
    settle(files, "language")
    (repository / "config.json").write_text('{"vocab_size": 8}')
    with pytest.raises(ModelError, match=r"hub is not what it was at its first use: config\.json"):
        settle(files, "language")
    (repository / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json"):
        settle(files, "language")


def test_a_download_that_did_not_end_counts_as_missing(repository: Path, tmp_path: Path) -> None:
    source = Source(path="hub", origin=f"https://huggingface.co/{REPOSITORY}", licence="free")
    files = Files(tmp_path, {"language": source})
    assert files.missing() == []
    (tmp_path / "digests.json").write_text(json.dumps({"hub": {"revision": "c" * 40}}))
    assert files.missing() == ["language"]


def test_where_no_hub_answers_the_command_says_what_to_do(tmp_path: Path) -> None:
    offline = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "c")}
    ((code, told),) = at_the_hub(tmp_path, ("mmsb.convert", "model=mplug_owl", "download=true"), **offline)
    assert code == 1
    assert "MAGAer13/mplug-owl-llama-7b cannot be had from the hub" in told
    assert "put it into checkpoints/sources/mplug-owl-llama-7b" in told
    assert "Traceback" not in told


def test_of_two_kinds_of_weights_one_is_fetched() -> None:
    names = ["model.safetensors", "pytorch_model.bin", "flax_model.msgpack", "config.json", "onnx/model.onnx"]
    assert wanted(names, ()) == ["model.safetensors", "config.json"]
    assert wanted([*names, "tokenizer.model"], ("tokenizer*", "config.json")) == ["config.json", "tokenizer.model"]


def test_every_source_says_where_it_comes_from() -> None:
    for name in ("cogvlm", "llama_adapter_v2", "minigpt4", "minigpt5", "minigpt_v2", "otter", "shikra"):
        for entry, source in preset(name).source.items():
            assert source.hub or source.origin.startswith(("https://storage", "https://drive", "https://github")), entry
    assert preset("minigpt5").source["adapter"].is_file
    assert preset("minigpt_v2").source["language"].hub == "meta-llama/Llama-2-7b-chat-hf"
