"""What comes from outside as JSON, parsed by strict schemas: replies, store lines, rows and records of runs.

A value of the wrong type is an error where it is read, and never goes further: a malformed reply is asked again, a
file names itself. A count is a whole number: "12", true and 12.0 are none. No data names code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypeVar

import msgspec
import pydantic
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from mmsb.errors import DataError, StoreError
from mmsb.types import Finish, Label, Response, clean

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # beyond it JSON numbers are not exact
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # a ValidationError is a DecodeError
SHOWN_BYTES = 2000  # of a malformed reply


class Malformed(Exception):
    """A reply that is not what the endpoint's protocol says."""


# ---- replies -----------------------------------------------------------------------------------------------------


class Part(msgspec.Struct, frozen=True):
    """A part of a message that comes in several: text, a refusal, or thoughts (which are dropped)."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Message(msgspec.Struct, frozen=True):
    """What the assistant said."""

    content: str | list[Part] | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """The content, or else the refusal; nothing where there is neither."""
        if isinstance(self.content, list):
            said = "".join(part.text or "" for part in self.content if part.type in ("text", "output_text"))
            return said or self.refusal or "".join(part.refusal or "" for part in self.content)
        return self.content or self.refusal or ""


class Choice(msgspec.Struct, frozen=True):
    """One answer; only the first is read."""

    message: Message
    finish_reason: str | None = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")  # parsed where they were asked for


class Token(msgspec.Struct, frozen=True):
    """A token of a chat's answer, with its log-probability and those of the likeliest in its place."""

    token: str
    logprob: float
    top_logprobs: list[Token] = []


class ChatTokens(msgspec.Struct, frozen=True):
    """The tokens of a chat's answer."""

    content: list[Token] | None = None


class TextTokens(msgspec.Struct, frozen=True):
    """The tokens of a completion, with the likeliest in each one's place."""

    tokens: list[str]
    top_logprobs: list[dict[str, float] | None]


class TextChoice(msgspec.Struct, frozen=True):
    """One completion; only the first is read."""

    text: str
    finish_reason: str | None = None
    logprobs: TextTokens | None = None


class Usage(msgspec.Struct, frozen=True):
    """What the call cost."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class Chat(msgspec.Struct, frozen=True):
    """A chat completion, or an endpoint's error in its place.

    {"choices": [{"message": {"content": "..."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 612, ...}}
    """

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None


class Completion(msgspec.Struct, frozen=True):
    """A completion of a text, or an endpoint's error in its place."""

    choices: list[TextChoice] | None = None
    usage: Usage | None = None
    error: Any = None


class Moderated(msgspec.Struct, frozen=True):
    """A moderation's reading of one text."""

    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]


class Moderation(msgspec.Struct, frozen=True):
    """A moderation's reply."""

    results: Annotated[list[Moderated], msgspec.Meta(min_length=1)]


_chat: Callable[[bytes], Chat] = msgspec.json.Decoder(Chat).decode
_chat_tokens: Callable[[bytes], ChatTokens | None] = msgspec.json.Decoder(ChatTokens | None).decode
_completion: Callable[[bytes], Completion] = msgspec.json.Decoder(Completion).decode
_moderation: Callable[[bytes], Moderation] = msgspec.json.Decoder(Moderation).decode


def parse_chat(content: bytes) -> Chat:
    """A reply of /chat/completions. It has a choice or an error.

    Raises:
        Malformed: it is neither, or a value is of the wrong type.
    """
    chat = _reply(_chat, content, "a chat completion")
    if not chat.choices and not chat.error:
        raise Malformed(f"not a chat completion (no choices): {shown_bytes(content)}")
    return chat


def parse_tokens(content: bytes) -> list[Token]:
    """The `logprobs` of a chat's answer.

    Raises:
        Malformed: a value is of the wrong type.
    """
    found = _reply(_chat_tokens, content, "the log-probabilities of an answer")
    return found.content or [] if found else []


def parse_completion(content: bytes) -> Completion:
    """A reply of /completions. It has a choice or an error.

    Raises:
        Malformed: it is neither, or a value is of the wrong type.
    """
    completion = _reply(_completion, content, "a completion")
    if not completion.choices and not completion.error:
        raise Malformed(f"not a completion (no choices): {shown_bytes(content)}")
    return completion


def parse_moderation(content: bytes) -> Moderated:
    """The first result of a reply of /moderations.

    Raises:
        Malformed: there is none, or a value is of the wrong type.
    """
    return _reply(_moderation, content, "a moderation").results[0]


def _reply(decode: Callable[[bytes], T], content: bytes, what: str) -> T:
    try:
        try:
            return decode(content)
        # Whole JSON with a wrong value is wrong; only what is not strict JSON is worth mending.
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            return decode(_mended(content))
    except BROKEN as error:
        raise Malformed(f"not {what} ({error}): {shown_bytes(content)}") from error


def _mended(content: bytes) -> bytes:
    r"""The same as strict JSON: some servers send halves of characters (\ud83d alone; here U+FFFD) and raw controls.

    Such a reply holds an answer that was paid for: asking again would bring the same.
    """
    try:
        text = content.decode(json.detect_encoding(content), "replace")
        return clean(json.dumps(json.loads(text.removeprefix("\ufeff"), strict=False), ensure_ascii=False)).encode()
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error


def shown_bytes(content: bytes) -> str:
    """The beginning of a reply, for messages."""
    return repr(content[:SHOWN_BYTES].decode("utf-8", "replace"))


# ---- the store ---------------------------------------------------------------------------------------------------


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A response as the store holds it: what the engine said, and what it cost."""

    text: str
    finish: Finish
    input_tokens: Count | None
    output_tokens: Count | None
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    calls: Count
    chances: dict[str, float] | None = None
    at: float | None = None


_stored: Callable[[bytes], Stored] = msgspec.json.Decoder(Stored).decode


def parse_response(value: bytes) -> Response:
    """The value of a store's line as the Response it was made of.

    Raises:
        StoreError: it is not one; who reads the file adds its name and line.
    """
    try:
        one = _stored(value)
    except BROKEN as error:
        raise StoreError(f"not a stored answer: {error}") from error
    return Response(
        one.text,
        one.finish,
        one.input_tokens,
        one.output_tokens,
        one.seconds,
        one.calls,
        chances=one.chances,
        at=one.at,
    )


# ---- runs --------------------------------------------------------------------------------------------------------


class StepRow(TypedDict):
    """One call of a defense."""

    role: str
    prompt: str
    answer: str


class SolutionRow(TypedDict):
    """What is right in a test question."""

    right: str
    options: dict[str, str]
    together: str
    pictured: bool


class Row(TypedDict):
    """A line of results.jsonl. What follows `steps` up to `message` depends on the outcome."""

    id: str
    scenario: str
    question_id: str
    benign: bool
    repeat: Count
    question: str
    key_phrase: str
    prompt: str
    system: str | None
    image: str | None
    outcome: Literal["answered", "filtered", "failed"]
    response: str | None
    label: Label
    refusal: bool | None
    flags: list[str]
    score: float | None
    comprehended: bool | None
    judge_reply: str
    judge_details: dict[str, Any]
    finish: NotRequired[Finish]
    input_tokens: NotRequired[Count | None]
    output_tokens: NotRequired[Count | None]
    calls: NotRequired[Count]
    steps: NotRequired[list[StepRow]]
    cause: NotRequired[str]
    message: NotRequired[str]
    solution: NotRequired[SolutionRow]
    correct: NotRequired[float | None]


ANSWERED = ("finish", "input_tokens", "output_tokens", "calls", "steps")
FAILED = ("cause", "message")
_row: Callable[[bytes], Row] = msgspec.json.Decoder(Row).decode


def parse_row(line: bytes) -> Row:
    """A line of results.jsonl; keys that are none of ours are left out.

    Raises:
        DataError: it is not one; who reads the file adds its name and line.
    """
    try:
        row = _row(line)
    except BROKEN as error:
        raise DataError(f"not a row of results: {error}") from error
    failed = row["outcome"] == "failed"
    lacking = [key for key in (FAILED if failed else ANSWERED) if key not in row]
    if lacking or failed is not (row["response"] is None):
        raise DataError(
            f"not a row of results: outcome {row['outcome']} without {', '.join(lacking) or 'its response'}"
        )
    return row


class DatasetRecord(TypedDict):
    """What run.json says of the dataset."""

    name: str
    commit: NotRequired[str | None]
    samples: int
    digest: str


class ComparableRecord(TypedDict):
    """Whether a run may stand beside the paper, and every reason why not."""

    comparable: bool
    reasons: list[str]


class Record(TypedDict, total=False):
    """How a run was made. Fingerprints are free in their content, not in their form."""

    __pydantic_config__ = pydantic.ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    model: dict[str, Any]
    judge: dict[str, Any]
    defense: dict[str, dict[str, Any]]
    dataset: DatasetRecord
    comparable: ComparableRecord
    asked: int
    totals: dict[str, float]
    wall_seconds: float
    environment: dict[str, Any]


class RunRecord(pydantic.BaseModel):
    """run.json. The classes that its `config` names are built by `mmsb.config.build` or not at all."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    choices: dict[str, str]
    config: dict[str, Any]
    record: Record
    metrics: dict[str, float]
    id: str | None = None
    identity: str | None = None
    results_digest: str | None = None


def parse_run(path: Path) -> RunRecord:
    """A run's run.json.

    Raises:
        DataError: there is none, or it is not one; names the file and every wrong value.
    """
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "Name the folder of a finished run.") from error
    except pydantic.ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()[:5]]
        raise DataError(f"{path} is not a run's record: {'; '.join(wrong)}", "Run the command again.") from error
