"""Files of questions that are read in pieces, against the standard library's parser of whole files."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsb.dataset import question_file
from mmsb.dataset.question_file import by_number, each_once, records
from mmsb.errors import DataError

ENDS = '"},{"\\: \n'  # letters that an object's end is made of, in and between texts
VALUE = st.recursive(
    st.text(ENDS + "a", max_size=6) | st.integers() | st.none(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(ENDS + "b", max_size=3), some, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_file, "CHUNK", 7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=st.dictionaries(st.integers(0, 99).map(str) | st.text(ENDS, max_size=4), VALUE, max_size=9),
    indent=st.none() | st.just(1),
    cut=st.none() | st.integers(0, 99),
    put=st.sampled_from(["", ",", "}", '"', "{", ":", "1", "},"]),
)
def test_records_in_pieces_are_those_of_the_whole_and_what_is_no_json_is_refused(
    small: None, tmp_path: Path, found: dict[str, object], indent: int | None, cut: int | None, put: str
) -> None:
    text, path = json.dumps(found, indent=indent), tmp_path / "questions.json"
    if cut is not None:
        text = text[:cut] + put + text[cut + 1 :]
    path.write_text(text)
    try:
        whole = json.loads(text, object_pairs_hook=each_once)
    except ValueError:
        whole = None
    if isinstance(whole, dict):
        assert list(records(path)) == sorted(whole.items(), key=lambda one: by_number(one[0]))
    else:
        with pytest.raises(DataError, match=r"questions\.json"):
            list(records(path))


def test_a_large_file_is_read_in_its_order_or_sorted_and_an_error_far_down_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    whole = {str(number): {"Question": f"Is {number} }},{{ a number?"} for number in range(5_000)}
    path.write_text(json.dumps(whole, indent=1))
    assert list(records(path)) == list(whole.items())
    keys = random.Random(0).sample(sorted(whole), len(whole))
    path.write_text(json.dumps({key: whole[key] for key in keys}))
    assert list(records(path)) == list(whole.items())
    path.write_text(json.dumps(whole, indent=1).replace('"4000": {', '"4000": ['))
    with pytest.raises(DataError, match=r"is not valid JSON: Expecting ',' delimiter: line 12003\n"):
        list(records(path))
    path.write_text(json.dumps(whole, indent=1)[:-2] + ",\n}")
    with pytest.raises(DataError, match="Illegal trailing comma before end of object: line 15001\n"):
        list(records(path))
    path.write_text(json.dumps(whole)[:-1] + ', "7": {}}')
    with pytest.raises(DataError, match="'7' is there twice"):
        list(records(path))
