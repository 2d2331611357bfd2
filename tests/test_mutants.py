"""The list of mutants (`make mutants` tries them): it is of the code as it is, and asks for what tests must notice."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from tests.mutants.__main__ import write
from tests.mutants.kept import End, Kept, tree
from tests.mutants.listed import ROOT, mutants, stale

WANTED = 120
NAMED = (  # what once survived
    ("mmsb/appender.py", "the sync thread does not sync"),
    ("mmsb/appender.py", "closing the store does not sync"),
    ("mmsb/results.py", "results are not synced before they take their name"),
    ("conf/image_mode/typo.yaml", "typo asks the question about the drawn picture"),
    ("conf/image_mode/sd.yaml", "sd asks the question about the typed text"),
    ("mmsb/targets.py", "a package that only begins like ours is trusted"),
    ("mmsb/config.py", "a _target_ in a list is not looked at"),
    ("mmsb/types.py", "the key of an answer forgets the system prompt"),
    ("mmsb/model/openai.py", "the fingerprint forgets max_image_side"),
)


def test_every_mutant_applies_with_a_test_that_is_there() -> None:
    assert stale() == [], "who changes a line that a mutant changes writes the mutant anew (tests/mutants/*.yaml)"
    listed = mutants()
    assert len(listed) >= WANTED
    assert len({(mutant.file, mutant.why) for mutant in listed}) == len(listed)
    assert not [mutant.why for mutant in listed if mutant.old == mutant.new]
    assert not {test for mutant in listed for test in mutant.tests if not (ROOT / test.partition("::")[0]).is_file()}
    assert {(mutant.file, mutant.why) for mutant in listed if not mutant.survives} >= set(NAMED)


def test_those_that_may_live_are_few_and_have_a_reason() -> None:
    alive = [mutant for mutant in mutants() if mutant.survives]
    assert len(alive) <= 0.05 * len(mutants())
    assert all(len(mutant.survives) > 20 for mutant in alive)


def test_what_was_tried_is_not_tried_again_unless_a_file_has_changed(tmp_path: Path) -> None:
    copy, file = tmp_path / "copy", tmp_path / "kept.jsonl"
    copy.mkdir()
    (copy / "a.py").write_text("one")
    one, other = mutants()[:2]
    kept = Kept(tree(copy), file)
    kept.add(one, End("killed", "tests/test_a.py::test_one"))
    kept.add("tests/test_a.py", End("SURVIVED", "tests/test_a.py::test_last"))
    again = Kept(tree(copy), file)
    assert [again.end(one), again.end(other)] == [("killed", "tests/test_a.py::test_one"), None]
    assert [again.end("tests/test_a.py"), again.end("tests/test_b.py")] == [
        ("SURVIVED", "tests/test_a.py::test_last"),
        None,
    ]
    assert again.end(dataclasses.replace(one, new="another")) is None
    (copy / "a.py").write_text("two")
    changed = Kept(tree(copy), file)
    assert (changed.end(one), changed.killers) == (None, {one.name: "tests/test_a.py::test_one"})


def test_a_change_counts_that_is_as_long_as_what_it_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    file, found = tmp_path / "changed.py", []
    for number in (1, 2, 3):
        write(file, f"NUMBER = {number}")
        spec = importlib.util.spec_from_file_location("changed", file)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module.NUMBER)
    assert found == [1, 2, 3]
