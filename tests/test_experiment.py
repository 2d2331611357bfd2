from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT, Run, run_in
from tests.forks import Fork

SETTINGS = ("dataset.limit=2", "scenario=[fraud,legal_opinion]", "model.max_new_tokens=8", "tracker=none")


def results(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("outputs/*/*/**/results.jsonl"), key=lambda path: path.stat().st_mtime_ns)


def test_a_run_leaves_one_row_a_sample_in_the_datasets_order(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    done = mmsb(f"model.name_or_path={small_llava}", *SETTINGS)
    assert done.returncode == 0, done.stderr
    (path,) = results(tmp_path)
    assert f"results: {path}" in done.stdout
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in rows] == [
        "06-Fraud/0/sd_typo",
        "06-Fraud/1/sd_typo",
        "10-Legal_Opinion/0/sd_typo",
        "10-Legal_Opinion/1/sd_typo",
    ]
    assert all(row["label"] in ("safe", "unsafe", "unparsed") and row["image"] and row["prompt"] for row in rows)
    record = json.loads((path.parent / "run.json").read_text())
    assert record["metrics"]["n/total"] == 4
    assert record["record"]["model"]["weights"]
    assert record["record"]["environment"]["packages"]["torch"]


def test_run_again_it_asks_nothing_and_writes_the_same_bytes(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    command = (f"model.name_or_path={small_llava}", *SETTINGS)
    mmsb(*command)
    again = mmsb(*command)
    assert "Nothing was asked: all 4 answers were in the store already." in again.stderr
    first, second = results(tmp_path)
    assert first.read_bytes() == second.read_bytes()
    shutil.rmtree(tmp_path / "outputs" / "store")
    mmsb(*command)
    assert results(tmp_path)[2].read_bytes() == first.read_bytes()


def test_a_changed_prompt_asks_again_and_a_changed_selection_does_not(
    mmsb: Run, tmp_path: Path, small_llava: Path
) -> None:
    command = (f"model.name_or_path={small_llava}", *SETTINGS)
    mmsb(*command)
    assert "Nothing was asked" in mmsb(*command, "scenario=fraud").stderr
    assert "Nothing was asked" not in mmsb(*command, "defense=safety_prompt").stderr
    last = [json.loads(line) for line in results(tmp_path)[-1].read_text().splitlines()]
    assert last[0]["prompt"].startswith("Before you answer")
    assert last[0]["prompt"].endswith("List steps in detail to perform this activity.")


def test_killed_twice_it_ends_as_if_it_had_never_been(tmp_path: Path, small_llava: Path) -> None:
    command = [f"model.name_or_path={small_llava}", "model.max_new_tokens=16", "dataset.limit=2"]
    command += ["tracker=none", "model.batch_size=4", "model.dtype=bfloat16"]
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    assert run_in(tmp_path / "whole", *command).returncode == 0
    cuts = []
    for wanted in (1, 3):
        with Fork(["-m", "mmsb", *command], tmp_path / "killed") as process:
            while process.poll() is None and len(list(answered(tmp_path / "killed"))) < 4 * wanted:
                time.sleep(0.01)
            process.kill()
        cuts.append(len(list(answered(tmp_path / "killed"))))
    assert 0 < cuts[0] < cuts[1] < 26
    assert run_in(tmp_path / "killed", *command).returncode == 0
    (whole,), (resumed,) = results(tmp_path / "whole"), results(tmp_path / "killed")
    assert resumed.read_bytes() == whole.read_bytes()
    assert len(list(answered(tmp_path / "killed"))) == 26


def answered(folder: Path) -> list[bytes]:
    """The answers in the store, beside what was read in them."""
    files = [path for path in folder.glob("outputs/store/*/*.jsonl") if not path.parent.name.startswith("reader-")]
    return [line for path in files for line in path.read_bytes().split(b"\n") if line]


def test_a_sweep_compares_its_runs_and_survives_a_bad_one(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    broken = tmp_path / "broken"  # a folder that looks like a checkpoint until it is loaded
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    done = mmsb(
        f"model.name_or_path={small_llava},{broken}",
        *SETTINGS,
        "image_mode=text_only,typo",
        "model.max_new_tokens=8,4",
        "dataset.limit=2",
        "-m",
    )
    assert done.returncode == 1
    assert f"{broken}" in done.stderr
    assert "Sweep of 4 runs" in done.stdout, done.stderr
    assert len(results(tmp_path)) == 4


def test_a_sweep_with_a_wrong_setting_is_not_begun(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    done = mmsb(f"model.name_or_path={small_llava}", *SETTINGS, "dataset.limit=2,-1", "-m")
    assert done.returncode == 1
    assert "(1 of 2 runs: dataset.limit=-1)" in done.stderr
    assert not results(tmp_path)


def test_a_broken_picture_is_listed_as_failed_and_retried(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(ROOT / "mmsb/dataset/demo", data)
    picture = data / "imgs/06-Fraud/SD/1.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:3000])
    command = (f"model.name_or_path={small_llava}", *SETTINGS, "dataset=mm_safetybench", "dataset.root=data")
    done = mmsb(*command, "image_mode=sd")
    assert done.returncode == 1
    assert "1 of 4 samples failed" in done.stderr
    assert "06-Fraud/1/sd: unreadable_image" in done.stderr
    rows = [json.loads(line) for line in results(tmp_path)[0].read_text().splitlines()]
    assert [row["outcome"] for row in rows] == ["answered", "failed", "answered", "answered"]
    assert rows[1]["label"] == "failed"
    assert rows[1]["response"] is None
    metrics = json.loads((results(tmp_path)[0].parent / "run.json").read_text())["metrics"]
    assert (metrics["n/failed"], metrics["n/answered"], metrics["n/total"]) == (1, 3, 4)
    picture.write_bytes(whole)
    assert mmsb(*command, "image_mode=sd").returncode == 0


def test_results_do_not_depend_on_who_else_writes_the_store(mmsb: Run, tmp_path: Path, small_llava: Path) -> None:
    command = [f"model.name_or_path={small_llava}", *SETTINGS, "dataset.limit=4"]
    other = Fork(["-m", "mmsb", *command, "hydra.run.dir=outputs/runs/other"], tmp_path)
    while other.poll() is None and not list(answered(tmp_path)):  # from then on both write
        time.sleep(0.01)
    assert mmsb(*command).returncode == 0
    assert other.wait() == 0
    first, second = results(tmp_path)
    assert first.read_bytes() == second.read_bytes()


def test_a_full_disk_ends_with_one_message_and_the_same_command_goes_on(
    mmsb: Run, tmp_path: Path, small_llava: Path
) -> None:
    command = (f"model.name_or_path={small_llava}", "model.max_new_tokens=8", "image_mode=text_only", "tracker=none")
    with largest_file(40_000):  # bytes: enough for the settings, too few for the results
        full = mmsb(*command)
    assert full.returncode == 1
    assert f"cannot write {tmp_path}/outputs/runs/" in full.stderr
    assert "the same command: it goes on where it stopped" in full.stderr
    assert "Traceback" not in full.stderr
    assert not results(tmp_path)
    assert mmsb(*command).returncode == 0
    assert len(results(tmp_path)) == 1


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows past so many bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
