"""Parts of a batch that are answered side by side on a CPU, and the memory that a batch leaves to the next."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmsb.errors import ModelError
from mmsb.model import local, streams
from mmsb.model.hf import HF
from mmsb.model.streams import at_a_time, parts, twin
from mmsb.picture import FilePicture
from mmsb.types import Failure, Response
from tests.asking import generated, named
from tests.small_today import save_small_gemma3
from tests.test_local import model, prompts, texts


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "cores", lambda: 2)
    monkeypatch.setattr(streams, "SMALLEST", 2)


def test_parts_are_answered_at_a_time_by_modules_of_their_own_from_the_same_weights(
    small_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = texts(model(small_llava, batch_size=1), prompts())
    run, both, seen = HF.run, threading.Barrier(2, timeout=20), {}

    def together(self: HF, loaded: Any, inputs: Any, seed: int) -> list[Response]:
        both.wait()  # breaks where one part waits for the other's end
        seen[threading.current_thread().name] = loaded.model
        return run(self, loaded, inputs, seed)

    monkeypatch.setattr(HF, "run", together)
    engine = model(small_llava, threads=1)
    assert texts(engine, prompts()) == alone
    first, second = seen.values()
    assert not set(map(id, first.modules())) & {*map(id, second.modules()), *map(id, engine.opened().model.modules())}
    held = [[tensor.data_ptr() for tensor in one.parameters()] for one in (first, second, engine.opened().model)]
    assert held[0] == held[1] == held[2]


def test_another_family_answers_side_by_side_as_alone(tmp_path: Path) -> None:
    folder = save_small_gemma3(tmp_path)
    assert texts(model(folder, threads=1), prompts()) == texts(model(folder, batch_size=1), prompts())


@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({"threads": 1}, 2),
        ({"threads": 2}, 1),
        ({"threads": 1, "batch_size": 1}, 1),
        ({}, 1),
        ({"threads": 1, "dtype": "bfloat16"}, 1),
        ({"threads": 1, "generation": {"do_sample": True}}, 1),
        ({"threads": 1, "stop": ["x"]}, 1),
        ({"threads": 1, "device_map": "auto"}, 1),
    ],
)
def test_a_batch_is_divided_only_where_no_answer_depends_on_it(settings: dict[str, Any], number: int) -> None:
    assert at_a_time(model(Path("anywhere"), **settings)) == number


def test_a_class_derived_from_one_that_has_twins_says_so_itself() -> None:
    class Own(HF):
        pass

    assert at_a_time(Own(**vars(model(Path("anywhere"), threads=1)))) == 1


def test_a_batch_on_a_gpu_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "pick_device", lambda device: "cuda")
    assert at_a_time(model(Path("anywhere"), threads=1, device="auto")) == 1


def test_a_batch_in_parts_is_the_batch() -> None:
    batch = tuple(named(str(number), str(number)) for number in range(23))
    for number, sizes in ((1, [23]), (2, [11, 12]), (3, [7, 8, 8]), (64, [2] * 10 + [3])):
        divided = parts(batch, number)
        assert sorted(map(len, divided)) == sizes
        assert sum(divided, ()) == batch
    assert parts(batch[:1], 2) == [batch[:1]]


def test_a_broken_picture_fails_alone_beside_another_part(small_llava: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    broken = named("bad", "list steps", FilePicture(tmp_path / "bad.jpg"))
    got = generated(model(small_llava, threads=1), [*prompts(), broken])
    assert [name for name, outcome in got.items() if isinstance(outcome, Failure)] == ["bad"]
    assert len(got) == len(prompts()) + 1


def test_an_error_in_one_part_ends_the_others(small_llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: HF, loaded: Any, inputs: Any, seed: int) -> list[Response]:
        raise ModelError("broken", "mend it")

    monkeypatch.setattr(HF, "run", broken)
    with pytest.raises(ModelError, match="broken"):
        texts(model(small_llava, threads=1), prompts())
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("mmsb-answers", "mmsb-inp"))]


def test_a_part_takes_its_share_of_the_seconds(small_llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = model(small_llava)
    [batch] = engine.batches(prompts()[::2])
    loaded = engine.opened()
    monkeypatch.setattr(local, "time", SimpleNamespace(monotonic=iter([0.0, 8.0]).__next__))
    replies = engine.answered(twin(loaded), batch, lambda: engine.encoded(loaded, batch), 2)
    assert [getattr(outcome, "seconds", None) for _, outcome in replies] == [8.0 / len(batch) / 2] * len(batch)


# In a process of its own: what else a worker of the tests does moves its memory, too.
KEEPING = """
import os, sys
from pathlib import Path
from types import SimpleNamespace

sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))  # which takes a second
from mmsb.model.device import keep_memory, release_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

keep_memory()
release_memory()
before = resident()
held = b"x" * (48 << 20)
del held
kept = resident()
release_memory()
print(kept - before, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what malloc keeps is set on glibc")
def test_memory_is_kept_for_the_next_batch_and_given_back_with_the_model() -> None:
    done = subprocess.run([sys.executable, "-c", KEEPING], capture_output=True, text=True, check=True, timeout=120)
    kept, left = map(int, done.stdout.split())
    assert kept > 40
    assert left < 8
