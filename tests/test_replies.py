"""A reply of a server is parsed or malformed: never a traceback, never a value of another type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsb.model.chat import read_reply
from mmsb.replies import (
    Chat,
    Malformed,
    parse_chat,
    parse_moderation,
    parse_usage,
)
from tests.examples import CHAT, JSON, MANY, MODERATION, changed, dumped, paths


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
    usage = parse_usage(bytes(chat.usage))
    for count in (usage.given, usage.came):
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


NO_COUNTS = ["ten", "-12", "12.5", 12.5, -1.0, -1, True, [1], {}, 2**60, "9" * 40, 10**400, float("nan"), 1e300]


@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens"])
def test_an_answer_whose_cost_cannot_be_read_is_an_answer(key: str) -> None:
    for value in NO_COUNTS:
        found = read_reply(dumped(changed(CHAT, ("usage", key), value)))
        kept = {"prompt_tokens": found.input_tokens, "completion_tokens": found.output_tokens}
        assert found.text == "Yes."
        assert kept.pop(key) is None
        assert list(kept.values()) != [None]  # of the other count nothing is lost
    for usage in ("n/a", [1], 5, None):
        assert read_reply(dumped({**CHAT, "usage": usage})).input_tokens is None


def test_thinking_that_the_total_alone_counts_is_counted_too() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 110}  # as Gemini and Grok have it
    assert read_reply(dumped(changed(CHAT, ("usage",), usage))).output_tokens == 103
    for less in ({"total_tokens": 8}, {"total_tokens": None}, {"total_tokens": "?"}, {"prompt_tokens": None}):
        assert read_reply(dumped(changed(CHAT, ("usage",), usage | less))).output_tokens == 3


def test_a_reply_whose_prompt_has_no_tokens_was_not_counted() -> None:
    for prompt, came, read in ((0, 0, (None, None)), (0, 3, (None, 3)), (7, 0, (7, 0))):
        usage = {"prompt_tokens": prompt, "completion_tokens": came, "total_tokens": prompt + came}
        found = read_reply(dumped(changed(CHAT, ("usage",), usage)))
        assert (found.input_tokens, found.output_tokens) == read


@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens"])
def test_a_count_may_be_written_as_a_decimal_number_or_as_text(key: str) -> None:
    for written, read in ((12.0, 12), (1e3, 1000), ("12", 12)):
        found = read_reply(dumped(changed(CHAT, ("usage", key), written)))
        count = found.input_tokens if key == "prompt_tokens" else found.output_tokens
        assert (count, type(count)) == (read, int)  # as the store keeps it


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
    assert parse_chat(dumped({**CHAT, "usage": None, "error": None})).error is None


@MANY
@given(st.sampled_from(list(paths(MODERATION))), JSON)
def test_a_moderation_with_any_value_in_any_place_is_one_or_malformed(path: tuple[Any, ...], value: Any) -> None:
    try:
        read = parse_moderation(dumped(changed(MODERATION, path, value)))
    except Malformed:
        return
    assert type(read.flagged) is bool
    assert all(score is None or type(score) is float for score in read.category_scores.values())
