"""Drawing answers and labelling them; the loop runs in a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmsb.errors import ConfigError, DataError
from mmsb.labels.answers import Answers, answers_of
from mmsb.labels.draw import Draw, allocated, draw, tasks
from mmsb.labels.file import read_labels
from mmsb.labels.sample import labels_wanted, reached
from mmsb.picture import FilePicture
from mmsb.review.picture import picture_of
from mmsb.review.session import Review, mend
from mmsb.review.terminal import visible
from tests.conftest import ROOT
from tests.saved_runs import row, save

HOSTILE = "first\x1b[2J\x1b]0;owned\x07\rsecond \u202eesrever\u2028 \x9b31m end"
JUDGED = {"record": {"judge": {"judge": "refusal"}}}


def write_run(folder: Path, labels: dict[str, list[str]], answer: str = "Answer") -> Path:
    """A run with these verdicts by scenario."""
    rows = [
        row(scenario, n, label, answer=f"{answer} {n}.")
        for scenario, given in labels.items()
        for n, label in enumerate(given)
    ]
    return save(folder, rows, **JUDGED)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [row("fraud", n, "safe", answer=f"Answer {n}.") for n in range(5)]
    rows[3]["response"] = HOSTILE
    return save(
        tmp_path / "run", [*rows, row("fraud", 5, "failed"), {**row("fraud", 6, "safe"), "benign": True}], **JUDGED
    )


@contextmanager
def terminal(
    run: Path, labels: Path, *further: str, **env: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], str], int]]:
    """The command in a pseudo-terminal, a function that reads until a text appears, and the terminal itself."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mmsb.review", f"run={run}", f"labels={labels}", "rater=ann", *further]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=run.parent)
    os.close(theirs)

    waiting = b""

    def until(wanted: str) -> str:
        """What comes up to the wanted text; the rest waits for the next call."""
        nonlocal waiting
        end = wanted.encode()
        while end not in waiting:
            assert select.select([ours], [], [], 60)[0], f"{wanted!r} did not come; seen: {waiting!r}"
            try:
                waiting += os.read(ours, 65536)
            except OSError:  # Linux: the other side was closed
                raise AssertionError(f"{wanted!r} did not come; seen: {waiting!r}") from None
        seen, _, waiting = waiting.partition(end)
        return (seen + end).decode()

    try:
        yield process, until, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def lines(labels: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in labels.read_bytes().split(b"\n")[:-1]]


def stored(labels: Path) -> list[tuple[str, str]]:
    return [(line["id"], line["label"]) for line in lines(labels) if "draw" not in line]


def order_of(run: Path) -> list[str]:
    return [item.rows[0] for item in draw([answers_of(run)], 200, "random", 0).items]


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
        until("With 3 labels the corrected average is known to +/- ")
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


# ---- the draw ----------------------------------------------------------------------------------------------------

VERDICTS = {"fraud": ["safe"] * 60 + ["unsafe"] * 20, "legal_opinion": ["unsafe"] * 37 + ["unparsed"] * 3}


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return answers_of(write_run(tmp_path / "large", VERDICTS))


def test_a_draw_is_random_fixed_by_the_seed_and_leaves_out_what_is_not_to_be_judged(run: Path) -> None:
    order = order_of(run)
    assert order == order_of(run)
    others = [[i.rows[0] for i in draw([answers_of(run)], 5, "random", seed).items] for seed in (1, 2, 3)]
    assert any(order != other for other in others)
    assert sorted(order) == [f"fraud/{n}/0" for n in range(5)]


@pytest.mark.parametrize("by", ["random", "cells"])
def test_a_larger_draw_begins_in_every_cell_with_the_smaller_one(answers: Answers, by: Any) -> None:
    for size in range(10, 120, 7):
        small, large = (draw([answers], n, by, 4) for n in (size, size + 7))
        for cell in small.sizes:
            first, second = ([i.place for i in d.items if i.cell == cell] for d in (small, large))
            assert second[: len(first)] == first


def test_every_answer_is_drawn_as_often_as_its_probability_says(answers: Answers) -> None:
    for by in ("random", "cells"):
        drawn = [draw([answers], 30, by, seed) for seed in range(400)]
        times = Counter(item.place for one in drawn for item in one.items)
        chances = {item.place: item.probability for one in drawn for item in one.items}
        assert set(times) == set(answers.rows)
        for cell in drawn[0].sizes:
            places = {item.place for one in drawn for item in one.items if item.cell == cell}
            share = sum(times[place] for place in places) / len(places) / len(drawn)
            (chance,) = {chances[place] for place in places}
            assert share == pytest.approx(chance)
            for place in places:  # five standard errors
                assert abs(times[place] / 400 - chance) < 5 * (chance * (1 - chance) / 400) ** 0.5 + 1e-9


def test_by_cells_takes_as_many_from_each_scenario_and_two_of_what_is_rare(answers: Answers) -> None:
    drawn = draw([answers], 40, "cells", 0)
    taken = Counter(item.cell for item in drawn.items)
    assert taken["fraud/safe"] + taken["fraud/unsafe"] == pytest.approx(20, abs=2)
    assert taken["legal_opinion/unjudged"] >= 2
    assert {item.probability for item in drawn.items if item.cell == "legal_opinion/unjudged"} <= {2 / 3, 1.0}
    assert allocated(Counter({"a/safe": 3, "b/safe": 500}), 503) == Counter({"a/safe": 3, "b/safe": 500})
    with pytest.raises(ConfigError, match="size=3 is too small for by=cells"):
        draw([answers], 3, "cells", 0)


def test_what_has_been_reached_is_a_sample_with_a_probability_of_its_own(answers: Answers) -> None:
    drawn = draw([answers], 40, "cells", 0)
    safe = [item.place for item in drawn.items if item.cell == "fraud/safe"]
    chances = drawn.probabilities({safe[0], safe[4]})
    assert set(chances) == set(safe[:5])  # the three between were passed over
    assert set(chances.values()) == {5 / 60}
    assert Draw.of_record(json.loads(json.dumps(drawn.record()))) == drawn


def test_two_runs_are_labelled_on_the_same_questions_in_an_order_that_tells_nothing(tmp_path: Path) -> None:
    first = answers_of(write_run(tmp_path / "a", {"fraud": ["safe"] * 40}))
    second = answers_of(write_run(tmp_path / "b", {"fraud": ["unsafe"] * 30}, answer="Another"))
    drawn = draw([first, second], 20, "cells", 0)
    assert drawn.sizes == {"fraud/rises": 30}  # ten questions have no answer in the second
    shown = list(tasks(drawn))
    assert len(shown) == 40
    assert {number for _, number in shown[::2]} == {0, 1}
    labels = tmp_path / "both.jsonl"
    session = Review(run=first.folder, other=second.folder, labels=labels, size=20, rater="ann")
    assert len(session.open(session.drawn())) == 40


def test_a_file_of_labels_goes_on_only_with_its_own_run_and_draw(run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    assert len(Review(run=run, labels=labels, size=2).drawn().items) == 2
    assert len(Review(run=run, labels=labels, size=4).drawn().items) == 4
    assert len(Review(run=run, labels=labels, size=3).drawn().items) == 4
    with pytest.raises(ConfigError, match="was drawn with by=random seed=0"):
        Review(run=run, labels=labels, seed=1).drawn()
    other = write_run(tmp_path / "other", {"fraud": ["safe"] * 5}, answer="Another")
    with pytest.raises(DataError, match="was drawn from run"):
        Review(run=other, labels=labels).drawn()
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"id": "1", "scenario": "fraud", "question": "?", "answer": "No.", "label": "safe"}\n')
    with pytest.raises(DataError, match="holds labels that were not drawn from this run"):
        Review(run=run, labels=foreign).drawn()
    with pytest.raises(DataError, match="holds no labels to decide on"):
        Review(run=run, labels=tmp_path / "none.jsonl", adjudicate=True).drawn()


def test_files_of_two_raters_are_put_together_by_appending_and_other_draws_are_not(run: Path, tmp_path: Path) -> None:
    texts = {}
    for rater, seed in (("bob", 0), ("eve", 0), ("joe", 1)):
        session = Review(run=run, labels=tmp_path / f"{rater}.jsonl", rater=rater, seed=seed)
        todo = session.open(session.drawn())
        with session.labels.open("ab") as file:
            session.store(file, todo[0], "safe")
        texts[rater] = session.labels.read_text()
    both = tmp_path / "both.jsonl"
    both.write_text(texts["bob"] + texts["eve"])
    assert [item.labels for item in read_labels(both).labelled] == [{"bob": "safe", "eve": "safe"}]
    both.write_text(texts["bob"] + texts["joe"])
    with pytest.raises(DataError, match="line 3: another draw"):
        read_labels(both)


def test_it_says_how_many_labels_are_wanted_and_what_is_out_of_reach(tmp_path: Path) -> None:
    run = answers_of(write_run(tmp_path / "run", {"fraud": ["safe"] * 900 + ["unsafe"] * 900}))
    session = Review(run=run.folder, labels=tmp_path / "labels.jsonl", rater="ann")
    todo = session.open(session.drawn())
    known = read_labels(session.labels)
    assert labels_wanted(known, [run], 0.03) == "For +/- 3 points about 384 labels are wanted."
    with session.labels.open("ab") as file:
        for number, task in enumerate(todo):
            right = task.row["label"]
            session.store(file, task, right if number % 10 else {"safe": "unsafe", "unsafe": "safe"}[right])
    known = read_labels(session.labels)
    told = labels_wanted(known, [run], 0.035)
    assert told.startswith("With 200 labels the corrected average is known to +/- ")
    assert 50 < int(told.split("about ")[1].split()[0]) < 300
    assert "is out of reach: it needs" in labels_wanted(known, [run], 0.0195)
    assert "needs more questions" in labels_wanted(known, [run], 0.01)


def test_a_torn_last_line_is_cut_off_and_another_broken_one_is_an_error(tmp_path: Path) -> None:
    line = b'{"id":"1","scenario":"fraud","question":"?","answer":"No.","rater":"ann","label":"safe"}\n'
    path = tmp_path / "labels.jsonl"
    path.write_bytes(line + line[:20])
    mend(path)
    assert path.read_bytes() == line
    path.write_bytes(b"nonsense\n" + line)
    mend(path)
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_labels(path)


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
