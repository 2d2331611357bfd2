"""What a batch takes beside the weights, against what torch has in memory while a real model answers one."""

from __future__ import annotations

import json
import weakref
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from mmsb.model.batch_memory import Shape, shape
from mmsb.model.cache import growing_cache
from mmsb.model.hf import HF, Loaded
from mmsb.paths import PACKAGE
from mmsb.picture import BytesPicture
from mmsb.preflight import memory
from mmsb.preflight.lines import Line
from mmsb.store import Store
from mmsb.types import Prompt, Response
from tests.conftest import Run

TINY = PACKAGE / "model" / "tiny" / "checkpoint"
LLAVA_7B = Shape(32, 2 * 4096, 4096, 11008)


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes that tensors made here held at a time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._alive: dict[int, Any] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._made, out)
        return out

    def _made(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key in self._alive:
            return

        def gone(_: object) -> None:
            self.now -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def model(folder: Path = TINY, answer: int = 6, **settings: Any) -> HF:
    given: dict[str, Any] = {"dtype": "float32", "backend": "pil", "device": "cpu", **settings}
    return HF(name="x", name_or_path=str(folder), max_new_tokens=answer, **given)


@pytest.mark.parametrize(("rows", "words"), [(6, 60), (2, 400)])
def test_a_batch_takes_what_torch_has_in_memory(rows: int, words: int) -> None:
    asked, kept = model(), shape(model())
    assert kept is not None
    loaded: Loaded = asked.load()
    file = BytesIO()
    Image.new("RGB", (192, 192), "red").save(file, "PNG")
    prompts = [Prompt("step " * words, BytesPicture(file.getvalue(), "red")) for _ in range(rows)]
    encoded = asked.inputs(loaded, prompts)
    with torch.no_grad(), Peak() as peak:
        known = [one.untyped_storage() for one in (*loaded.model.parameters(), *loaded.model.buffers())]
        peak._alive.update({id(one): one for one in known})
        settled = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "return_dict_in_generate": True}
        made = loaded.model.generate(**encoded, **settled, **growing_cache(loaded.model, settled))
    cache = sum(layer.keys.nbytes + layer.values.nbytes for layer in made.past_key_values.layers)
    tokens = encoded["input_ids"].shape[1]
    assert cache == 4 * rows * kept.layers * kept.kept * (tokens + 5)  # nobody needs the last token's
    assert kept.bytes(asked, tokens, rows) == pytest.approx(peak.most, rel=0.15)


def test_a_published_configuration_that_leaves_out_its_defaults_is_known_too(tmp_path: Path) -> None:
    text = {"model_type": "llama", "vocab_size": 32064}  # as llava-hf/llava-1.5-7b-hf has it
    vision = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "llava", "text_config": text, "vision_config": vision})
    )
    seven = model(tmp_path, dtype="float16", answer=1024)
    assert shape(seven) == LLAVA_7B
    # 0.5 MB a token, as every calculator has it: 2 x 32 layers x 32 heads x 128 x 2 bytes
    assert LLAVA_7B.bytes(seven, 1024, 1) == pytest.approx(2048 * 2**19, rel=0.02)


def test_what_tells_no_sizes_is_not_guessed(tmp_path: Path) -> None:
    assert shape(model(tmp_path)) is None
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    assert shape(model(tmp_path)) is None


def test_the_plan_says_what_batches_take_and_how_many_prompts_fit(
    mmsb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("model=tiny", "scenario=fraud", "tracker=none", "dry_run=true")
    assert "  memory: tiny 12 MB of weights and about 0.2 GB for 64 prompts at a time" in mmsb(*run).stdout
    monkeypatch.setattr(memory, "GB", 1e6)
    monkeypatch.setattr(memory, "free", lambda model: (50e6, "cuda:0"))
    assert "prompts at a time fit into the 50.0 GB of cuda:0 that are free; batches of 64 are" in mmsb(*run).stdout
    monkeypatch.setattr(memory, "free", lambda model: (13e6, "cuda:0"))
    refused = mmsb(*run)
    assert refused.returncode == 1
    assert "tiny needs 11.7 GB for the weights and " in refused.stderr
    assert "try: model.max_new_tokens=40" in refused.stderr


def test_what_a_model_counted_goes_before_the_rules(tmp_path: Path) -> None:
    store = Store(tmp_path)
    line = Line(asked := model(), store.shelf(asked))
    line.guess(Prompt("x" * 400))
    assert line.longest_prompt == 108
    line.learned.prompt(Prompt("y"), Response("", input_tokens=333), line.guess(Prompt("y")))
    assert line.longest_prompt == 333
    store.close()
