from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from mmsb.errors import StoreError
from mmsb.model.base import Batch, Reply
from mmsb.store import Shelf, Store
from mmsb.types import Failure, Outcome, Prompt, Response
from tests.asking import Named, answers, named
from tests.forks import Fork


class Echo:
    """An engine that answers with its prompt, in batches of a given size, and counts what it was asked."""

    name, repeats = "echo", 1

    def __init__(self, size: int = 1, failing: str = "") -> None:
        self.size, self.failing, self.seen = size, failing, list[str]()

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "echo"}

    def batches(self, prompts: Iterable[Prompt]) -> Iterator[Batch]:
        ordered = list(prompts)
        for start in range(0, len(ordered), self.size):
            yield tuple(ordered[start : start + self.size])

    def generate(self, batches: Iterable[Batch]) -> Iterator[Reply]:
        for batch in batches:
            for prompt in batch:
                self.seen.append(prompt.text)
                outcome: Outcome = (
                    Failure("timeout", "too slow") if prompt.text == self.failing else Response(prompt.text)
                )
                yield prompt, outcome


def prompts(*texts: str) -> list[Named]:
    return [named(f"{i}", text) for i, text in enumerate(texts)]


def answers_in(store: Store, engine: Echo, asked: list[Named]) -> dict[str, Outcome]:
    return answers(engine, asked, store)


def shelf_files(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.jsonl"))


def test_an_answer_is_asked_for_once_across_processes(tmp_path: Path) -> None:
    engine = Echo()
    for _ in range(2):
        store = Store(tmp_path)
        assert answers_in(store, engine, prompts("a", "b")) == {"0": Response("a"), "1": Response("b")}
        store.close()
    assert engine.seen == ["a", "b"]


def test_equal_prompts_share_one_call_and_each_gets_the_answer(tmp_path: Path) -> None:
    engine = Echo(size=4)
    assert set(answers_in(Store(tmp_path), engine, prompts("a", "a", "a"))) == {"0", "1", "2"}
    assert engine.seen == ["a"]


def test_a_failure_is_never_stored_and_is_asked_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert isinstance(answers_in(store, Echo(failing="b"), prompts("a", "b"))["1"], Failure)
    store.close()
    engine = Echo()
    assert answers_in(Store(tmp_path), engine, prompts("a", "b"))["1"] == Response("b")
    assert engine.seen == ["b"]


def test_a_batch_with_a_missing_answer_is_asked_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    answers_in(store, Echo(size=2, failing="d"), prompts("a", "b", "c", "d"))
    store.close()
    engine = Echo(size=2)
    answers_in(Store(tmp_path), engine, prompts("a", "b", "c", "d"))
    assert engine.seen == ["c", "d"]


def test_a_torn_last_line_is_dropped_with_a_warning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    answers_in(store, Echo(), prompts("a", "b"))
    store.close()
    (file,) = shelf_files(tmp_path)
    file.write_bytes(file.read_bytes()[:-20])
    engine = Echo()
    with pytest.warns(UserWarning, match="torn last line"):
        answers_in(Store(tmp_path), engine, prompts("a", "b"))
    assert engine.seen == ["b"]


def test_a_corrupt_line_in_the_middle_names_file_line_and_remedy(tmp_path: Path) -> None:
    store = Store(tmp_path)
    answers_in(store, Echo(), prompts("a", "b"))
    store.close()
    (file,) = shelf_files(tmp_path)
    file.write_bytes(file.read_bytes().replace(b'"text":"a"', b'"text":"x"', 1))
    with pytest.raises(StoreError, match=rf"{file.name}, line 1, is corrupt\nDelete that line"):
        Store(tmp_path).shelf(Echo())


def test_a_file_whose_lines_change_places_under_a_run_gives_no_answer_of_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    answers_in(store, Echo(), prompts("a", "b"))
    store.close()
    (file,) = shelf_files(tmp_path)
    shelf = Store(tmp_path).shelf(Echo())
    keys = [prompt.key for prompt in prompts("a", "b")]
    assert [shelf.get(key).text for key in keys] == ["a", "b"]
    with file.open("r+b") as open_file:
        lines = open_file.readlines()
        open_file.seek(0)
        open_file.writelines(reversed(lines))
    with pytest.raises(StoreError, match=r"was changed while it was in use\nRun the same command again"):
        shelf.get(keys[0])


def test_text_with_lone_surrogates_and_line_separators_survives(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {})
    text = "torn \ud800 line\u2028separator\nnewline \U0001f600"
    given = shelf.add("0" * 32, Response(text))
    shelf.close()
    assert given.text == text.replace("\ud800", "\ufffd")
    assert Shelf(tmp_path, {}).get("0" * 32) == given


def test_a_full_disk_is_an_error_for_people_and_leaves_whole_lines(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from mmsb.errors import StoreError
from mmsb.types import Response
from mmsb.store import Shelf
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
shelf = Shelf(Path({str(tmp_path)!r}), {{}})
try:
    for i in range(100):
        shelf.add(f"{{i:032x}}", Response("x" * 500))
except StoreError as error:
    print(i, error)
"""
    with Fork(["-c", code]) as done:
        assert done.wait(60) == 0, done.err
    count = int(done.out.split()[0])
    assert "cannot write" in done.out
    assert "Free space" in done.out
    assert len(Shelf(tmp_path, {})) == count > 0


@pytest.mark.filterwarnings("ignore:.*dropped a torn last line")  # of an answer that was not given back yet
def test_nothing_that_was_given_back_is_lost_by_sigkill(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from mmsb.types import Response
from mmsb.store import Shelf
shelf = Shelf(Path({str(tmp_path)!r}), {{}})
for i in range(10**9):
    shelf.add(f"{{i:032x}}", Response("x" * 2000))
    print(i, flush=True)
"""
    for _ in range(3):
        with Fork(["-c", code]) as process:
            while "\n" not in process.out:
                assert process.poll() is None, process.err
                time.sleep(0.01)
            time.sleep(0.1)
            process.kill()
            assert process.wait(60) == -signal.SIGKILL
        acknowledged = [int(line) for line in process.out.splitlines()]
        assert acknowledged
        shelf = Shelf(tmp_path, {})
        assert all(f"{i:032x}" in shelf for i in acknowledged)
        shelf.close()


def test_more_files_than_a_process_may_open_are_read(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {})
    for key in ("0" * 32, "f" * 32):
        shelf.add(key, Response("a"))
    shelf.close()
    (written,) = tmp_path.glob("*.jsonl")
    first, last = written.read_bytes().splitlines(keepends=True)
    for number in range(400):
        crc = b'"crc":' + first.partition(b'"crc":')[2]
        (tmp_path / f"{number:04}.jsonl").write_bytes(b'{"key":"%032x",' % number + crc)
    (tmp_path / "9999.jsonl").write_bytes(last)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 100, hard))
    try:
        many = Shelf(tmp_path, {})
        assert [many.get(f"{number:032x}").text for number in [*range(400), *range(400)]] == ["a"] * 800
        assert many.get("f" * 32).text == many.add("e" * 32, Response("a")).text
        assert many.get("e" * 32).text == "a"
        many.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, {})
    shelf.add("0" * 32, Response("a"))
    shelf.close()
    reopened = Shelf(tmp_path, {})
    (written,) = tmp_path.glob("*.jsonl")
    written.unlink()
    with pytest.raises(StoreError, match=f"cannot read {written}"):
        reopened.get("0" * 32)


def test_two_processes_write_at_once_and_nothing_is_mixed_up(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from mmsb.types import Response
from mmsb.store import Shelf
shelf = Shelf(Path({str(tmp_path)!r}), {{}})
for i in range(300):
    shelf.add(f"{{i:031x}}" + sys.argv[1], Response(sys.argv[1] * 3000))
shelf.close()
"""
    with Fork(["-c", code, "a"]) as one, Fork(["-c", code, "b"]) as other:
        assert [one.wait(60), other.wait(60)] == [0, 0], one.err + other.err
    shelf = Shelf(tmp_path, {})
    assert len(shelf) == 600
    assert shelf.get(f"{7:031x}a").text == "a" * 3000
