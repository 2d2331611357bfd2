"""What comes from outside is parsed or refused: never a traceback, never a value of another type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsb.dataset.records import parse_tiny_list
from mmsb.digest import digest
from mmsb.errors import DataError, StoreError
from mmsb.run import Run, SavedRun
from mmsb.schemas import (
    parse_response,
    parse_row,
    parse_run,
)
from mmsb.types import Response
from tests.examples import JSON, MANY, ROW, RUN, STORED, TEXT, changed, dumped, paths, without
from tests.saved_runs import row, save

# ---- store lines, rows, runs -------------------------------------------------------------------------------------


@MANY
@given(
    st.builds(
        Response,
        text=TEXT,
        finish=st.sampled_from(["stop", "length", "content_filter"]),
        input_tokens=st.none() | st.integers(0, 2**53),
        output_tokens=st.none() | st.integers(0, 2**53),
        seconds=st.floats(0, 1e6),
        calls=st.integers(1, 1000),
    )
)
def test_a_response_is_read_back_as_it_was_written(response: Response) -> None:
    kept = {name: getattr(response, name) for name in STORED}
    assert parse_response(orjson.dumps(kept)) == response


@pytest.mark.parametrize("key", STORED)
def test_a_store_line_of_the_wrong_type_is_an_error(key: str) -> None:
    right: dict[str, list[Any]] = {"text": ["ten"], "seconds": [12.5, 10**30]}
    values: list[Any] = ["ten", -1, True, [], {}, 12.5, 10**30]
    for value in values:
        if value not in right.get(key, []):
            with pytest.raises(StoreError, match="not a stored answer"):
                parse_response(dumped({**STORED, key: value}))


def test_a_store_line_with_more_or_less_than_a_response_is_an_error() -> None:
    for value in ({**STORED, "sent": {}}, *(without(STORED, (key,)) for key in STORED), [], None):
        with pytest.raises(StoreError):
            parse_response(dumped(value))


def test_a_row_is_read_as_it_was_written() -> None:
    failed = {key: value for key, value in ROW.items() if key not in ("finish", "calls", "steps")}
    failed |= {"outcome": "failed", "response": None, "cause": "timeout", "message": "60 s", "label": "failed"}
    assert parse_row(dumped(ROW)) == ROW
    assert parse_row(dumped(failed)) == failed


@MANY
@given(st.sampled_from([path for path in paths(ROW) if path]), JSON)
def test_a_row_with_any_value_in_any_place_is_a_row_or_an_error(path: tuple[Any, ...], value: Any) -> None:
    given = changed(ROW, path, value)
    try:
        read = parse_row(dumped(given))
    except DataError:
        return
    assert all(type(read[key]) is type(given[key]) or key == "score" for key in ROW)  # type: ignore[literal-required]


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "failed"},
        {"outcome": "failed", "response": None},
        {"response": None},
        {"label": "harmless"},
        {"refusal": "no"},
        {"steps": [{"role": "x"}]},
        {"benign": 0},
        {"repeat": "0"},
    ],
)
def test_a_row_that_contradicts_itself_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="not a row"):
        parse_row(dumped({**ROW, **change}))


@pytest.mark.parametrize("key", [key for key in ROW if key not in ("cause", "message")])
def test_a_row_that_lacks_a_field_is_an_error(key: str) -> None:
    with pytest.raises(DataError, match="not a row"):
        parse_row(dumped(without(ROW, (key,))))


def test_a_run_is_read_as_it_was_written_and_names_no_code(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(dumped(RUN))
    read = parse_run(path)
    assert read.model_dump(exclude_none=True)["record"] == {
        **RUN["record"],
        "dataset": {"name": "demo", "samples": 104, "digest": "0" * 32},
    }
    assert read.config == RUN["config"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), []),
        (("name",), 3),
        (("choices",), []),
        (("choices", "dataset"), ["demo"]),
        (("config",), "x"),
        (("record", "dataset", "samples"), "104"),
        (("record", "totals", "calls"), "many"),
        (("record", "judge"), None),
        (("metrics", "asr/macro"), "46"),
        (("unknown",), 1),
        (("config", "model"), "tiny"),
        (("config", "scenario"), ["fraud"]),
        (("metrics", "asr/macro"), float("nan")),
    ],
)
def test_a_run_of_the_wrong_form_names_the_file_and_the_place(
    tmp_path: Path, path: tuple[Any, ...], value: Any
) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(dumped(changed(RUN, path, value)))
    with pytest.raises(DataError) as raised:
        parse_run(file)
    assert f"{file} is not a run's record" in raised.value.problem
    assert ".".join(path) in raised.value.problem


def test_a_record_that_was_changed_says_so(tmp_path: Path) -> None:
    run = Run("a run", tmp_path, {"model": "tiny"}, {"model": {"name": "tiny"}}, record={**RUN["record"], "model": {}})
    run.save({"asr/macro": 46.0}, "0" * 64)
    file, changes = tmp_path / "run.json", {"46.0": "0.0", '"name": "a run"': '"name": "another"', '"tiny"': '"gpt-9"'}
    assert parse_run(file).metrics == {"asr/macro": 46.0}
    written = file.read_text()
    for old, new in changes.items():
        file.write_text(written.replace(old, new))
        with pytest.raises(DataError, match="was changed since the run wrote it"):
            parse_run(file)
    file.write_text(json.dumps(json.loads(written)))  # another layout says the same
    parse_run(file)


@pytest.mark.parametrize("key", ["digest", "results_digest"])
def test_a_record_that_nothing_ties_to_its_rows_is_of_no_run(key: str, tmp_path: Path) -> None:
    save(tmp_path, [row("fraud", 1, "safe")])
    values = json.loads((tmp_path / "run.json").read_text())
    assert SavedRun.open(tmp_path).metrics == {}
    del values[key]
    if key != "digest":
        values["digest"] = digest({name: value for name, value in values.items() if name != "digest"})
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=rf"run\.json has no {key}: nothing ties it"):
        SavedRun.open(tmp_path)


@pytest.mark.parametrize("key", ["dataset", "judge", "model", "totals"])
def test_a_record_without_what_all_runs_have_is_none(key: str, tmp_path: Path) -> None:
    record = {name: value for name, value in {**RUN["record"], "model": {}}.items() if name != key}
    (tmp_path / "run.json").write_bytes(dumped({**RUN, "id": "1", "record": record}))
    with pytest.raises(DataError, match=f"record.{key} is missing"):
        parse_run(tmp_path / "run.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"x": ' + b"9" * 5000 + b"}"])
def test_a_broken_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    for parse in (parse_run, parse_tiny_list):
        with pytest.raises(DataError, match=str(file)):
            parse(file)
        with pytest.raises(DataError, match="cannot read"):
            parse(tmp_path / "none.json")


# ---- datasets ----------------------------------------------------------------------------------------------------


def test_the_authors_list_of_the_tiny_subset_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    path.write_bytes(dumped([{"Scenario": "06-Fraud", "Sampled_ID_List": [1, "2"]}]))
    (one,) = parse_tiny_list(path)
    assert (one.scenario, one.ids) == ("06-Fraud", [1, "2"])
    path.write_bytes(dumped([{"Scenario": "06-Fraud", "Sampled_ID_List": [None]}]))
    with pytest.raises(DataError):
        parse_tiny_list(path)
