"""Drawing answers and labelling them; the loop runs in a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from mmsb.console import visible
from mmsb.errors import ConfigError, DataError
from mmsb.labels.answers import answers_of
from mmsb.labels.file import read_labels
from mmsb.labels.sample import reached
from mmsb.picture import FilePicture
from mmsb.review.picture import picture_of
from mmsb.review.session import Review
from tests.reviewing import JUDGED, order_of, small_run, stored, terminal
from tests.saved_runs import row, save


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return small_run(tmp_path)


# ---- in the terminal ---------------------------------------------------------------------------------------------


def test_one_key_labels_an_answer_and_the_next_start_goes_on(run: Path, tmp_path: Path) -> None:
    labels, order = tmp_path / "labels.jsonl", order_of(run)
    with terminal(run, labels) as (process, until, keys):
        until("[1 of 5] fraud")
        os.write(keys, b"s")
        until("[2 of 5]")
        os.write(keys, b"k")  # skipped
        until("[3 of 5]")
        os.write(keys, b"x")  # no such key: the same page again
        until("[3 of 5]")
        os.write(keys, b"u")
        until("[4 of 5]")
        os.write(keys, b"b")
        until("[3 of 5]")
        os.write(keys, b"s")  # thought better of it
        until("[4 of 5]")
        os.write(keys, b"q")
        until("3 labels written")
        until("With 2 labels the corrected average is known to +/- ")
        until("python -m mmsb.calibrate labels=")
        assert process.wait(60) == 0
    first, third = order[0], order[2]
    assert stored(labels) == [(first, "safe"), (order[1], "skipped"), (third, "unsafe"), (third, "safe")]
    known = read_labels(labels)
    assert [item.labels for item in known.labelled] == [{"ann": "safe"}, {"ann": "safe"}]
    assert len(reached(known)) == 3  # with the skipped one
    assert set(reached(known).values()) == {3 / 5}
    with terminal(run, labels) as (process, until, keys):
        assert "5 answers drawn, 2 labelled by ann already" in until("[1 of 3]")
        os.write(keys, b"uuu")
        until("3 labels written")
        assert process.wait(60) == 0
    assert stored(labels)[4:] == [(name, "unsafe") for name in (order[1], order[3], order[4])]


def test_a_label_is_on_disk_before_the_next_answer_whatever_happens_then(run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    with terminal(run, labels) as (process, until, keys):
        until("[1 of 5]")
        os.write(keys, b"u")
        until("[2 of 5]")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(stored(labels)) == 1


def test_nothing_an_answer_holds_reaches_the_terminal_as_a_command(run: Path, tmp_path: Path) -> None:
    with terminal(run, tmp_path / "labels.jsonl") as (_, until, keys):
        seen = until("q quit")
        for _ in range(4):
            os.write(keys, b"k")
            seen += until("q quit")
    assert r"first\x1b[2J\x1b]0;owned\x07\rsecond \u202eesrever\u2028 \x9b31m end" in seen.replace("\r\n", "\n")
    for control in ("\x1b]", "\x07", "\u202e", "\u2028", "\x9b"):
        assert control not in seen
    assert visible("tab\tline\nUmlaut ü 漢字 🙂") == "tab\tline\nUmlaut ü 漢字 🙂"


def test_another_person_decides_where_raters_disagree_and_the_decision_stands(run: Path, tmp_path: Path) -> None:
    labels, order = tmp_path / "labels.jsonl", order_of(run)
    session = Review(run=run, labels=labels, rater="bob")
    todo = session.open(session.drawn())
    with labels.open("ab") as file:
        for task, label in zip(todo, ("safe", "unsafe", "safe"), strict=False):
            session.store(file, task, label)
            Review(run=run, labels=labels, rater="eve").store(file, task, "safe")
    assert any("bob and eve: kappa 0.00" in line for line in session.reached())
    with pytest.raises(ConfigError, match="rater=bob labelled answers that are to be decided"):
        Review(run=run, labels=labels, rater="bob", adjudicate=True).open(session.drawn())
    assert read_labels(labels).labelled[1].truth is None
    with terminal(run, labels, "adjudicate=true") as (process, until, keys):
        assert "1 answers on which raters disagree" in until("OTHERS SAID safe, unsafe")
        os.write(keys, b"u")
        until("1 labels written")
        assert process.wait(60) == 0
    known = read_labels(labels)
    assert known.labelled[1].id == order[1]
    assert known.labelled[1].truth == "unsafe"
    assert known.labelled[1].labels == {"bob": "unsafe", "eve": "safe"}  # the decision is no rater's label


def test_without_a_terminal_or_a_run_it_says_so(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="standard input is no terminal"):
        Review(run=run, labels=tmp_path / "labels.jsonl").run_and_print()
    with pytest.raises(DataError, match=r"has no results\.jsonl"):
        Review(run=tmp_path, labels=tmp_path / "labels.jsonl").run_and_print()


# ---- pictures ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    """A run on a folder in the authors' layout, with one picture."""
    name = "06-Fraud"
    record = {"Question": "How?", "Changed Question": "How?", "Key Phrase": "a form", "Phrase Type": "activity"}
    record |= {"Rephrased Question": "How?", "Rephrased Question(SD)": "How?"}
    (tmp_path / "data/processed_questions").mkdir(parents=True)
    (tmp_path / f"data/processed_questions/{name}.json").write_text(json.dumps({"0": record}))
    (tmp_path / f"data/imgs/{name}/SD").mkdir(parents=True)
    picture = tmp_path / f"data/imgs/{name}/SD/0.jpg"
    Image.new("RGB", (8, 8), "red").save(picture)
    config = {
        "dataset": {"_target_": "mmsb.dataset.mm_safetybench.MMSafetyBench", "root": str(tmp_path / "data")},
        "image_mode": {"_target_": "mmsb.image_mode.ImageMode", "name": "sd", "question": "rephrased_sd"}
        | {"image": "SD"},
    }
    shown = {**row("fraud", 0, "safe"), "image": FilePicture(picture).identity}
    return save(tmp_path / "run", [shown], config=config, **JUDGED)


def test_the_picture_is_put_where_it_can_be_looked_at_and_opened_where_wanted(pictured: Path, tmp_path: Path) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    with terminal(pictured, tmp_path / "labels.jsonl", "pictures=open", BROWSER=f"{browser} %s") as (_, until, keys):
        seen = until("q quit")
        os.write(keys, b"q")
        until("0 labels written")
    (path,) = (tmp_path / "outputs/pictures").iterdir()
    assert f"PICTURE outputs/pictures/{path.name}" in seen
    assert path.read_bytes() == (tmp_path / "data/imgs/06-Fraud/SD/0.jpg").read_bytes()
    assert opened.read_text().strip() == path.as_uri()


def test_a_picture_that_is_another_now_or_gone_is_said_to_be(pictured: Path, tmp_path: Path) -> None:
    run = answers_of(pictured)
    (shown,) = run.rows.values()
    assert picture_of(run, {**shown, "image": "0" * 32}, tmp_path / "a")[1].startswith("(as the dataset has it")
    (tmp_path / "data/processed_questions/06-Fraud.json").unlink()
    path, note = picture_of(run, shown, tmp_path / "b")
    assert path is None
    assert note.startswith("not at hand")
