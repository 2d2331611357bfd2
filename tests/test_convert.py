"""python -m mmsb.convert: what is missing, what is refused, and a conversion that was interrupted."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmsb.convert import write
from mmsb.convert.conversion import Conversion, make
from mmsb.convert.lora import adapted
from mmsb.convert.rename import renamed
from mmsb.convert.source import Files, Source, weight_files
from mmsb.convert.weights import Weights
from mmsb.errors import ConfigError, ModelError
from tests.composed_models import TINY, Published, preset, random_state, tokenizer_folder
from tests.test_composed_minigpt import FP32, published_shapes


@pytest.fixture
def published(tmp_path: Path) -> tuple[Any, dict[str, dict[str, Any]]]:
    """A tiny MiniGPT-4 that is to be converted, and its published files."""
    model = preset("minigpt4", name_or_path=str(tmp_path / "made"), parts=TINY["MiniGPT4"], **FP32)
    return model, {entry: random_state(shapes) for entry, shapes in published_shapes(model).items()}


def save(model: Any, files: dict[str, dict[str, Any]], root: Path) -> None:
    """The published files as they lie on disk."""
    for entry, source in model.source.items():
        held = files[entry] if source.root is None else {source.root: files[entry]}
        if entry == "language":
            torch.save(held, tokenizer_folder(root / source.path) / "pytorch_model.bin")
        else:
            root.mkdir(exist_ok=True)
            torch.save(held, root / source.path)


def test_what_is_missing_is_listed_with_origin_size_and_licence(mmsb: Callable[..., Any]) -> None:
    ran = mmsb("model=minigpt4", module="mmsb.convert")
    assert ran.returncode == 1
    assert "missing  eva_vit_g.pth  (vision, 2 GB, licence: MIT (EVA))" in ran.stdout
    assert "from https://huggingface.co/Vision-CAIR/vicuna-7b" in ran.stdout
    assert ran.stderr.startswith("error: minigpt4 needs 4 published files that are not there: vision, qformer")


def test_a_run_without_the_weights_says_how_to_get_them(
    mmsb: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsb.preflight.memory.free", lambda model: (1e12, "memory"))  # whatever this machine has
    ran = mmsb("model=minigpt4", "image_mode=sd_typo", "scenario=fraud", "dataset.limit=1", "tracker=none")
    assert ran.returncode == 1
    lines = ran.stderr.strip().splitlines()
    assert lines == [
        "error: minigpt4 has no converted checkpoint at checkpoints/minigpt4",
        "  try: Make it: python -m mmsb.convert model=minigpt4 download=true",
    ]


def test_published_files_on_disk_become_a_checkpoint_that_loads(published: Any, tmp_path: Path) -> None:
    model, files = published
    save(model, files, tmp_path / "sources")
    Conversion(model=model, sources=tmp_path / "sources").run()
    state = model.load().net.state_dict()
    assert torch.equal(state["language_projection.weight"], files["projection"]["llama_proj.weight"])
    Conversion(model=model, sources=tmp_path / "nowhere").run()  # there already: nothing is needed


def test_a_model_without_source_needs_no_conversion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="llava_1_5_7b needs no conversion"):
        Conversion(model=preset("llava_1_5_7b"), sources=tmp_path).run()


def test_an_interrupted_conversion_goes_on_where_it_stopped(
    published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, files = published
    monkeypatch.setattr(write, "SHARD_BYTES", 20_000)
    source = Published(files, tokenizer_folder(tmp_path / "language"))
    draft = tmp_path / "made.converting"

    def stops(weights: Iterator[Any], after: int) -> Iterator[Any]:
        for number, pair in enumerate(weights):
            if number == after:
                raise KeyboardInterrupt
            yield pair

    with pytest.raises(KeyboardInterrupt):
        write.write_weights(draft, stops(model.convert(source), 60), model.shapes(source))
    kept = {path: path.stat().st_mtime_ns for path in draft.glob("*.safetensors")}
    assert len(kept) > 1
    assert not (tmp_path / "made").exists()  # never half a checkpoint
    (draft / ".model-00099.safetensors.tmp").write_bytes(b"torn")
    make(model, source, tmp_path / "made")
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "made").glob("model-*.safetensors")}
    assert {path.name: when for path, when in kept.items()}.items() <= made.items()  # not written again
    weights: dict[str, Any] = {}
    for path in (tmp_path / "made").glob("model-*.safetensors"):
        weights |= load_file(path)
    whole = {key: tensor for key, tensor in model.convert(source)}
    assert weights.keys() == whole.keys()
    assert all(torch.equal(weights[key], whole[key]) for key in whole)


def test_a_conversion_does_not_go_on_with_other_files(published: Any, tmp_path: Path) -> None:
    model, files = published
    source = Published(files, tokenizer_folder(tmp_path / "language"))
    draft = tmp_path / "made.converting"
    draft.mkdir()
    (draft / "made_of.txt").write_text("something else")
    (draft / "model-00001.safetensors").write_bytes(b"of something else")
    make(model, source, tmp_path / "made", made_of="this")
    assert load_file(tmp_path / "made" / "model-00001.safetensors")


def test_a_weight_that_is_not_known_stops_the_conversion(published: Any, tmp_path: Path) -> None:
    model, files = published
    files["projection"]["surprise"] = torch.ones(1)
    source = Published(files, tokenizer_folder(tmp_path / "language"))
    with pytest.raises(ModelError, match="projection: the published file holds a weight that is not known: surprise"):
        make(model, source, tmp_path / "made")
    del files["projection"]["surprise"], files["projection"]["llama_proj.bias"]
    with pytest.raises(ModelError, match=r"1 weights are missing: language_projection\.bias"):
        make(model, source, tmp_path / "made")
    files["projection"]["llama_proj.bias"] = torch.ones(3)
    with pytest.raises(ModelError, match=r"language_projection\.bias has shape \[3\]; this model has \[32\]"):
        make(model, source, tmp_path / "elsewhere")
    assert not (tmp_path / "made").exists()


def test_a_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    source = Source(path="weights.pth", origin="https://example.org", licence="MIT", sha256=digest)
    Files(tmp_path, {"vision": source}).check("vision")
    (tmp_path / "weights.pth").write_bytes(b"abd")
    with pytest.raises(ModelError, match="has SHA-256"):
        Files(tmp_path, {"vision": source}).check("vision")


def test_code_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    mark = tmp_path / "was-run"

    class Touch:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
            return Path.touch, (mark,)

    def old() -> None:
        file.write_bytes(pickle.dumps({"model": Touch()}, protocol=2))

    def new() -> None:
        torch.save({"model": Touch()}, file)

    for written in (old, new):
        written()
        with pytest.raises(ModelError, match="cannot be read as plain weights"):
            Weights([file])
        assert not mark.exists()


def test_an_index_names_files_of_its_own_folder_alone(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../away/a.safetensors", "b": "/etc/b.safetensors"}}')
    assert sorted(weight_files(tmp_path)) == [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]


def test_a_file_without_the_expected_root_is_refused(tmp_path: Path) -> None:
    torch.save({"state": {}}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"holds no `model`, but state"):
        Weights([tmp_path / "weights.pth"], "model")


def test_old_and_new_pickles_and_safetensors_give_the_same(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"a": torch.arange(4.0), "b": torch.ones(2, 3)}
    torch.save(state, tmp_path / "new.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "safe.safetensors")
    for name in ("new.pth", "old.pth", "safe.safetensors"):
        read = Weights([tmp_path / name])
        assert set(read) == {"a", "b"}
        assert all(torch.equal(read[key], state[key]) for key in state)


def test_an_adapter_must_belong_to_the_weights() -> None:
    weights = [("q.weight", torch.zeros(2, 2))]
    deltas = [("q.lora_A.weight", torch.ones(1, 2)), ("q.lora_B.default.weight", torch.ones(2, 1))]
    ((_, merged),) = adapted(weights, deltas, 16)
    assert torch.equal(merged, torch.full((2, 2), 16.0))
    with pytest.raises(ModelError, match=r"half of the delta for q\.weight is missing"):
        list(adapted(weights, deltas[:1], 16))
    with pytest.raises(ModelError, match=r"changes weights that do not exist: k\.weight"):
        list(adapted(weights, [("k.weight", torch.ones(2))], 16))


def test_the_first_rule_that_matches_a_whole_key_names_it() -> None:
    rules = [(r"a\.(\w+)", r"x.\1"), (r"a\..*", None)]
    assert list(renamed([("a.b", 1), ("a.b.c", 2)], rules, "vision")) == [("x.b", 1)]
    with pytest.raises(ModelError, match=r"not known: ba\.b"):
        list(renamed([("ba.b", 1)], rules, "vision"))
