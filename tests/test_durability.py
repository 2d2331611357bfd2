"""What is given back was written, what is finished is on the disk, and what determines an answer is in its key."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mmsb.appender import SYNC_SECONDS
from mmsb.calls import Calls, CallsOf
from mmsb.digest import digest, digest_folder, digest_of_plain, write_atomically
from mmsb.errors import StoreError
from mmsb.flow import Call
from mmsb.image_mode.typography import TypedText
from mmsb.model.ledger import Ledger, Record
from mmsb.model.openai import OpenAI
from mmsb.paths import conf_dir
from mmsb.picture import Stacked
from mmsb.results import LIVE, Results, read_rows, row
from mmsb.run import Run, SavedRun
from mmsb.store import Shelf, Store
from mmsb.types import How, Prompt, Response, Result, Sample, Verdict, clean
from tests.judging import SCENARIOS, Scripted, question

Event = tuple[str, str, int]  # what was done, to which file, how large that was


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Every sync and every replacement of a file, in their order."""
    seen: list[Event] = []
    fsync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        seen.append(("fsync", name, os.fstat(descriptor).st_size))
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        seen.append(("replace", str(target), self.stat().st_size))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    return seen


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60  # one sync takes seconds where others write much
    while not ready() and time.monotonic() < deadline:
        time.sleep(SYNC_SECONDS / 5)
    assert ready()


def test_an_answer_reaches_the_disk_by_itself_soon_after_it_was_given(tmp_path: Path, disk: list[Event]) -> None:
    shelf = Shelf(tmp_path, {})
    shelf.add("0" * 32, Response("first"))
    (file,) = tmp_path.glob("*.jsonl")
    until(lambda: ("fsync", str(file), file.stat().st_size) in disk)
    shelf.add("1" * 32, Response("second"))
    until(lambda: ("fsync", str(file), file.stat().st_size) in disk)
    shelf.close()


def test_closing_brings_the_last_answer_to_the_disk(
    tmp_path: Path, disk: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsb.appender.SYNC_SECONDS", 60)
    shelf = Shelf(tmp_path, {})
    shelf.add("0" * 32, Response("first"))
    (file,) = tmp_path.glob("*.jsonl")
    until(lambda: bool(disk))
    shelf.add("1" * 32, Response("last"))  # the thread sleeps for a minute
    shelf.close()
    assert disk[-1] == ("fsync", str(file), file.stat().st_size)


def test_what_the_disk_lost_is_told_though_the_system_tells_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, told = Shelf(tmp_path, {}), list[int]()

    def lose_once(descriptor: int) -> None:
        told.append(descriptor)
        if len(told) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", lose_once)
    shelf.add("0" * 32, Response("lost"))
    until(lambda: bool(told))
    with pytest.raises(StoreError, match="Input/output error"):
        shelf.close()


def test_a_store_that_is_deleted_meanwhile_ends_the_writing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {})
    shelf.add("0" * 32, Response("first"))
    shelf.sync()
    (file,) = tmp_path.glob("*.jsonl")
    file.unlink()
    shelf.add("1" * 32, Response("lost"))
    with pytest.raises(StoreError, match="deleted while answers were written"):
        shelf.sync()
    with pytest.raises(StoreError):
        shelf.add("2" * 32, Response("not asked for"))
    with pytest.raises(StoreError):
        shelf.close()


def test_what_a_batch_brought_is_on_the_disk_when_its_shelf_is_synced(
    tmp_path: Path, disk: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsb.appender.SYNC_SECONDS", 60)
    shelf = Shelf(tmp_path, {})
    shelf.add("0" * 32, Response("first"))
    until(lambda: bool(disk))
    shelf.add("1" * 32, Response("second"))
    shelf.sync()
    (file,) = tmp_path.glob("*.jsonl")
    assert disk[-1] == ("fsync", str(file), file.stat().st_size)
    shelf.close()


def test_calls_are_on_the_disk_before_they_take_their_name(tmp_path: Path, disk: list[Event]) -> None:
    with Calls(tmp_path) as calls:
        calls.add("a", [])
        calls.keep()
    assert [what for what, _, _ in disk] == ["fsync", "replace"]


def test_half_a_character_in_a_question_ends_no_run(tmp_path: Path) -> None:
    broken = Prompt("half \ud83d", system="half \ud83d", reply="half \ud83d")
    with Results(tmp_path) as results, Calls(tmp_path) as calls:
        calls.add("a", [Call("answer", None, "m", broken, Response("half \ud83d"), 0, 1)])
        results.expect("a")
        sample = Sample("a", broken, question(SCENARIOS["fraud"]), SCENARIOS["fraud"])
        results.add(Result(sample, Response("half \ud83d"), Verdict("safe")))
        results.write()
        calls.keep()
    (found,) = read_rows(tmp_path / "results.jsonl")
    with CallsOf(tmp_path) as kept:
        (call,) = kept.of("a")
    assert [found["system"], call["system"]] == ["half \ufffd"] * 2


def test_the_first_answer_counts_in_memory_and_on_the_disk(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {})
    assert shelf.add("0" * 32, Response("first")).text == shelf.add("0" * 32, Response("second")).text == "first"
    shelf.close()
    (file,) = tmp_path.glob("*.jsonl")
    assert file.read_bytes().count(b"\n") == 1
    other = Shelf(tmp_path / "other", {})  # two jobs that asked the same: files count in the order of their names
    other.add("0" * 32, Response("of another job"))
    other.close()
    (later,) = (tmp_path / "other").glob("*.jsonl")
    later.rename(tmp_path / "9.jsonl")
    assert Shelf(tmp_path, {}).get("0" * 32).text == "first"


def test_engines_that_differ_share_no_answers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, other, same = (Scripted(lambda prompt: "No.", name) for name in ("one", "other", "one"))
    assert store.shelf(one) is store.shelf(same) is not store.shelf(other)


def test_a_digest_knows_content_and_names_and_no_order(tmp_path: Path) -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"one")
    first = digest_folder(tmp_path)
    weights.write_bytes(b"two")  # as many bytes
    os.utime(weights, ns=(1, 1))
    second = digest_folder(tmp_path)
    weights.rename(tmp_path / "other.bin")
    assert len({first, second, digest_folder(tmp_path)}) == 3


def test_a_run_is_known_by_all_that_was_measured_and_by_nothing_else(tmp_path: Path) -> None:
    def identity(config: dict[str, Any], data: str = "0", judge: str = "j", model: str = "m", defense: str = "") -> str:
        record: dict[str, Any] = {"dataset": {"digest": data}, "judge": {"judge": judge}, "model": {"model": model}}
        record |= {"defense": {"own": {"text": defense}}}
        return Run("a run", tmp_path, {}, config, record).identity

    measured = identity({"a": 1})
    assert measured == identity({"a": 1, "output_dir": "elsewhere", "tracker": {}, "withhold": "all"})
    changed = (
        identity({"a": 2}),
        identity({"a": 1}, data="1"),
        identity({"a": 1}, judge="k"),
        identity({"a": 1}, model="n"),
        identity({"a": 1}, defense="Be kind."),
    )
    assert len({measured, *changed}) == 6


def test_behind_a_defense_a_row_tells_what_reached_the_model() -> None:
    sample = Sample("a", Prompt("Say it."), question(SCENARIOS["fraud"]), SCENARIOS["fraud"])
    sent = Prompt("Be kind. Say it.", system="Be kind.")
    told = row(Result(sample, Response("No.", sent=sent), Verdict("safe")))
    assert (told["prompt"], told["system"], told["outcome"]) == (sent.text, sent.system, "answered")
    assert row(Result(sample, Response("", "content_filter"), Verdict("filtered")))["outcome"] == "filtered"
    assert row(Result(sample, Response("No", "length"), Verdict("safe")))["outcome"] == "answered"


def test_a_half_of_a_character_leaves_a_mark_in_its_place() -> None:
    assert clean("a\ud83db \U0001f600") == "a\ufffdb \U0001f600"


def test_a_batch_is_written_down_with_its_name_before_it_is_submitted(tmp_path: Path, disk: list[Event]) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.write(Record("one", ["0" * 32], "file-1"))
    (written, _, size), replaced, (synced, folder, _) = disk
    assert (written, size, synced, folder) == ("fsync", (tmp_path / "one.json").stat().st_size, "fsync", str(tmp_path))
    assert replaced[:2] == ("replace", str(tmp_path / "one.json"))


def finished(folder: Path, ended: str = "a") -> str:
    sample = Sample("a", Prompt("Say it."), question(SCENARIOS["fraud"]), SCENARIOS["fraud"])
    with Results(folder) as results:
        for name in sorted(ended):
            results.expect(name)
        for name in ended:
            said = "No." * (10_000 if name == "b" else 1)  # a row that is read in more than one piece
            results.add(Result(replace(sample, id=name), Response(said), Verdict("safe")))
        return results.write()


@pytest.mark.parametrize("ended", ["abc", "acb"], ids=["in their order", "in another"])
def test_results_are_on_the_disk_before_they_take_their_name(tmp_path: Path, disk: list[Event], ended: str) -> None:
    digest, path = finished(tmp_path, ended), tmp_path / "results.jsonl"
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [row["id"] for row in read_rows(path)] == ["a", "b", "c"]
    (what, synced, size), replaced = disk[-2:]
    assert (what, Path(synced).parent, size) == ("fsync", tmp_path, (tmp_path / "results.jsonl").stat().st_size)
    assert replaced == ("replace", str(tmp_path / "results.jsonl"), size)


def test_the_record_of_a_run_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, disk: list[Event]) -> None:
    record: dict[str, Any] = {"dataset": {"name": "demo", "samples": 1, "digest": "0" * 32}}
    record |= {"judge": {}, "model": {}, "defense": {}}
    Run("a run", tmp_path, {}, {}, record).save({}, "0" * 64)
    (what, synced, size), replaced = disk[-2:]
    assert (what, Path(synced).parent, size) == ("fsync", tmp_path, (tmp_path / "run.json").stat().st_size)
    assert replaced == ("replace", str(tmp_path / "run.json"), size)


def test_rows_of_another_run_are_refused(tmp_path: Path) -> None:
    record: dict[str, Any] = {"dataset": {"name": "demo", "samples": 1, "digest": "0" * 32}}
    record |= {"judge": {}, "model": {}, "defense": {}, "totals": {}}
    run = Run("a run", tmp_path, {}, {}, record)
    run.save({}, finished(tmp_path))
    assert [row["id"] for row in SavedRun.open(tmp_path).rows()] == ["a"]
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(Exception, match=r"results\.jsonl is not what run\.json was written for"):
        SavedRun.open(tmp_path)


def test_rows_can_be_followed_until_a_run_is_finished(tmp_path: Path) -> None:
    sample = Sample("a", Prompt("Say it."), question(SCENARIOS["fraud"]), SCENARIOS["fraud"])
    with Results(tmp_path) as results:
        for n in (1, 0):
            results.expect(str(n))
        for n in range(2):
            results.add(Result(replace(sample, id=str(n)), Response("No."), Verdict("safe")))
            results.show()
            assert [row["id"] for row in read_rows(tmp_path / LIVE)] == ["0", "1"][: n + 1]
        results.write()
    assert [row["id"] for row in read_rows(tmp_path / "results.jsonl")] == ["1", "0"]
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]
    with suppress(KeyboardInterrupt), Results(tmp_path) as results:
        results.expect("a")
        results.add(Result(sample, Response("No."), Verdict("safe")))
        raise KeyboardInterrupt
    assert [row["id"] for row in read_rows(tmp_path / LIVE)] == ["a"]


def test_two_runs_never_write_to_one_folder(tmp_path: Path) -> None:
    with Results(tmp_path), pytest.raises(StoreError, match=r"another run is writing to .*\n.*hydra\.run\.dir"):
        Results(tmp_path)
    finished(tmp_path)  # the first one is over
    assert not [path for path in tmp_path.iterdir() if path.name != "results.jsonl"]


@pytest.mark.parametrize(
    ("mode", "image", "role"),
    [
        ("text_only", None, "changed"),
        ("sd", "SD", "rephrased_sd"),
        ("typo", "TYPO", "rephrased"),
        ("sd_typo", "SD_TYPO", "rephrased"),
    ],
)
def test_each_shipped_mode_asks_the_question_that_goes_with_its_picture(
    mode: str, image: str | None, role: str
) -> None:
    option = OmegaConf.load(conf_dir() / f"image_mode/{mode}.yaml")
    assert (option.image, option.question) == (image, role)


@given(st.lists(st.text() | st.integers() | st.none(), max_size=4))
@example(["".join(map(chr, range(128)))])
@example(["\ud800", 1 << 70])
def test_a_short_way_to_a_digest_leads_to_the_same(values: list[str | int | None]) -> None:
    assert digest_of_plain(values) == digest(values)


def test_everything_that_is_shown_is_in_the_key() -> None:
    prompt = Prompt("text", TypedText("a phrase"), "system", 0, None)
    changes: list[dict[str, Any]] = [
        {"text": "other"},
        {"image": None},
        {"image": TypedText("another phrase")},
        {"system": None},
        {"system": "other"},
        {"repeat": 1},
        {"reply": ""},
        {"reply": "No."},
        {"how": How()},
        {"how": How(max_tokens=3)},
        {"image": Stacked(TypedText("a"), TypedText("b"))},
        {"image": Stacked(TypedText("b"), TypedText("a"))},
    ]
    assert len({prompt.key, *(replace(prompt, **change).key for change in changes)}) == len(changes) + 1


@pytest.mark.parametrize(
    "change",
    [
        {"max_image_side": 64},
        {"detail": "low"},
        {"max_tokens": 7},
        {"max_tokens_parameter": "max_completion_tokens"},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"seed": 3},
        {"extra_body": {"top_k": 3}},
        {"name": "y"},
        {"base_url": "http://other/v1"},
    ],
)
def test_everything_that_shapes_a_request_is_in_the_fingerprint(change: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"name": "x", "base_url": "http://here/v1", "temperature": 1}
    assert OpenAI(**{**settings, **change}).fingerprint() != OpenAI(**settings).fingerprint()


def test_threads_that_write_one_file_each_write_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_atomically(path, f"{number % 10}" * 9_999), range(64)))
    assert len(set(written := path.read_text())) == 1
    assert len(written) == 9_999
    assert [left.name for left in tmp_path.iterdir()] == ["bill.json"]  # no draft
