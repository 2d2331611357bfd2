"""Drawing the answers that are labelled, and the file of labels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmsb.errors import ConfigError, DataError
from mmsb.labels.answers import Answers, answers_of
from mmsb.labels.draw import Draw, allocated, draw, tasks
from mmsb.labels.file import read_labels
from mmsb.labels.sample import labels_wanted
from mmsb.review.session import Review, mend
from tests.reviewing import order_of, small_run, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return small_run(tmp_path)


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
