"""What comes from outside is parsed or refused: never a traceback, never a value of another type."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsb.dataset.mm_safetybench import FIELDS, METADATA, TEXTS
from mmsb.dataset.records import parse_questions, parse_tiny_list
from mmsb.errors import DataError, StoreError
from mmsb.paths import PACKAGE
from mmsb.schemas import (
    Chat,
    Malformed,
    parse_chat,
    parse_moderation,
    parse_response,
    parse_row,
    parse_run,
)
from mmsb.types import Response

MANY = settings(max_examples=300, deadline=None, derandomize=True)  # the same examples on every machine
TEXT = st.text(max_size=20)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["ten", "\ud83d", "\0", 1e300])
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
CHAT: dict[str, Any] = {
    "id": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 612, "completion_tokens": 87},
}
MODERATION = {"results": [{"flagged": True, "categories": {"illicit": True}, "category_scores": {"illicit": 0.9}}]}
STORED = {"text": "Yes.", "finish": "stop", "input_tokens": 612, "output_tokens": None, "seconds": 0.25, "calls": 1}
ROW: dict[str, Any] = {
    "id": "fraud/1/0",
    "scenario": "fraud",
    "question_id": "1",
    "benign": False,
    "repeat": 0,
    "question": "How?",
    "key_phrase": "a scheme",
    "prompt": "The image shows a phrase.",
    "system": None,
    "image": "0" * 32,
    "outcome": "answered",
    "response": "I cannot help.",
    "finish": "stop",
    "input_tokens": 3,
    "output_tokens": 4,
    "calls": 2,
    "steps": [{"role": "check", "prompt": "Is it?", "answer": "no"}],
    "label": "safe",
    "refusal": True,
    "flags": ["truncated"],
    "score": 0.5,
    "comprehended": None,
    "judge_reply": "",
    "judge_details": {"members": {"first": "safe"}},
}
RUN: dict[str, Any] = {
    "name": "image_mode=sd",
    "choices": {"dataset": "demo"},
    "config": {"dataset": {"_target_": "os.system"}},
    "record": {
        "model": {"engine": "HF"},
        "judge": {},
        "defense": {"none": {}},
        "dataset": {"name": "demo", "commit": None, "samples": 104, "digest": "0" * 32},
        "asked": 104,
        "totals": {"calls": 104},
        "wall_seconds": 1.5,
        "environment": {"python": "3.12"},
        "rejudged": {"run": "x"},
    },
    "metrics": {"asr/macro": 46.0},
}


def dumped(value: Any) -> bytes:
    """JSON as servers of all kinds write it: lone surrogates escaped, NaN and huge numbers as they are."""
    return json.dumps(value).encode()


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*here, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    value = copy.deepcopy(value)
    node = value
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = new
    return value


def without(value: Any, path: tuple[Any, ...]) -> Any:
    value = copy.deepcopy(value)
    node = value
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return value


# ---- replies -----------------------------------------------------------------------------------------------------


def check_chat(content: bytes) -> Chat | None:
    """Parse; what is parsed holds only values of the right types."""
    try:
        chat = parse_chat(content)
    except Malformed:
        return None
    for choice in chat.choices or ():
        assert isinstance(choice.message.text, str)
        choice.message.text.encode()  # no lone surrogate is left
        assert choice.finish_reason is None or isinstance(choice.finish_reason, str)
    if chat.usage:
        for count in (chat.usage.prompt_tokens, chat.usage.completion_tokens):
            assert count is None or (type(count) is int and 0 <= count <= 2**53)
    return chat


@MANY
@given(st.binary(max_size=200))
def test_any_bytes_are_a_reply_or_malformed(content: bytes) -> None:
    check_chat(content)


@MANY
@given(JSON)
def test_any_json_is_a_reply_or_malformed(value: Any) -> None:
    check_chat(dumped(value))


@MANY
@given(st.sampled_from(list(paths(CHAT))), JSON)
def test_a_reply_with_any_value_in_any_place_is_a_reply_or_malformed(path: tuple[Any, ...], value: Any) -> None:
    check_chat(dumped(changed(CHAT, path, value)))


@pytest.mark.parametrize("value", ["ten", "12", 12.5, 12.0, -1, True, [1], {}, 2**60, 10**400, float("nan"), 1e300])
@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_is_none_is_malformed(key: str, value: Any) -> None:
    assert check_chat(dumped(changed(CHAT, ("usage", key), value))) is None


@pytest.mark.parametrize("content", [3, True, {"text": "x"}, ["x"], [{"text": "x"}], [{"type": "text", "text": 3}]])
def test_content_that_is_no_text_is_malformed(content: Any) -> None:
    assert check_chat(dumped(changed(CHAT, ("choices", 0, "message", "content"), content))) is None


@pytest.mark.parametrize(
    "reply",
    [
        {},
        [],
        {"choices": []},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": 1}]},
        {"choices": {"0": {"message": {"content": "x"}}}},
        {"usage": {}},
        {**CHAT, "usage": []},
    ],
)
def test_a_reply_without_an_answer_is_malformed(reply: Any) -> None:
    with pytest.raises(Malformed, match="not a chat completion"):
        parse_chat(dumped(reply))


def test_deep_nesting_is_malformed_wherever_it_stands() -> None:
    deep = b"[" * 100_000
    for content in (deep, b'{"error":' + deep, b'{"x":' + deep + b"\xff", b'"\\ud800' + deep):
        with pytest.raises(Malformed):
            parse_chat(content)


def text_of(message: dict[str, Any]) -> str:
    choices = parse_chat(dumped({"choices": [{"message": message}]})).choices
    assert choices
    return choices[0].message.text


def test_what_servers_really_send_is_read() -> None:
    assert text_of({"content": "Yes."}) == "Yes."
    assert text_of({"content": None}) == ""
    assert text_of({}) == ""
    assert text_of({"content": None, "refusal": "No."}) == "No."
    assert text_of({"content": "", "refusal": "No."}) == "No."
    assert text_of({"content": "a\0b"}) == "a\0b"
    assert text_of({"content": "a\ud83d b"}) == "a\ufffd b"
    assert text_of({"content": "\U0001f600", "reasoning_content": "hm", "tool_calls": []}) == "\U0001f600"
    parts = [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "Yes"}]
    assert text_of({"content": [*parts, {"type": "text", "text": "."}]}) == "Yes."
    assert text_of({"content": [{"type": "refusal", "refusal": "No."}]}) == "No."


def test_an_error_in_an_answers_place_is_kept_for_who_sorts_errors() -> None:
    assert parse_chat(dumped({"error": {"code": "content_filter"}})).error == {"code": "content_filter"}
    assert parse_chat(dumped({**CHAT, "usage": None, "error": None})).usage is None


@MANY
@given(st.sampled_from(list(paths(MODERATION))), JSON)
def test_a_moderation_with_any_value_in_any_place_is_one_or_malformed(path: tuple[Any, ...], value: Any) -> None:
    try:
        read = parse_moderation(dumped(changed(MODERATION, path, value)))
    except Malformed:
        return
    assert type(read.flagged) is bool
    assert all(score is None or type(score) is float for score in read.category_scores.values())


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


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_broken_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    for parse in (parse_run, parse_questions, parse_tiny_list):
        with pytest.raises(DataError, match=str(file)):
            parse(file)
        with pytest.raises(DataError, match="cannot read"):
            parse(tmp_path / "none.json")


# ---- datasets ----------------------------------------------------------------------------------------------------


def test_the_shipped_questions_are_read_whole() -> None:
    for path in sorted((PACKAGE / "dataset").glob("*/processed_questions/*.json")):
        raw = json.loads(path.read_text(encoding="utf-8"))
        read = parse_questions(path)
        assert list(read) == list(raw)
        for key, record in raw.items():
            names = TEXTS | METADATA
            assert {ours: getattr(read[key], ours) for ours in names} == {
                ours: record[theirs] for ours, theirs in names.items()
            }


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [("1", "Key Phrase", None), ("1", "Question", 3), ("../1", "Question", "x"), ("1\n", "Question", "x")],
)
def test_a_record_of_the_wrong_form_names_its_file(tmp_path: Path, key: str, field: str, value: Any) -> None:
    record = dict.fromkeys(FIELDS, "x") | {field: value}
    path = tmp_path / "01.json"
    path.write_bytes(dumped({key: record}))
    with pytest.raises(DataError, match=str(path)):
        parse_questions(path)


def test_the_authors_list_of_the_tiny_subset_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    path.write_bytes(dumped([{"Scenario": "06-Fraud", "Sampled_ID_List": [1, "2"]}]))
    (one,) = parse_tiny_list(path)
    assert (one.scenario, one.ids) == ("06-Fraud", [1, "2"])
    path.write_bytes(dumped([{"Scenario": "06-Fraud", "Sampled_ID_List": [None]}]))
    with pytest.raises(DataError):
        parse_tiny_list(path)
