"""What comes from outside as JSON, parsed by strict schemas: store lines, rows and records of runs.

Replies of endpoints have theirs in `mmsb.replies`. A value of the wrong type is an error where it is read, and never
goes further: a malformed reply is asked again, a file names itself. A count is a whole number: "12", true and 12.0 are
none (but see `mmsb.replies.Usage`). No data names code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import msgspec
import pydantic
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from mmsb.digest import digest
from mmsb.errors import DataError, StoreError
from mmsb.types import Finish, Label, Response

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # beyond it JSON numbers are not exact
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # a ValidationError is a DecodeError


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
    # A row that says "failed" and has an answer would be counted twice, or not at all.
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


MAPPINGS = ("dataset", "image_mode", "model", "judge", "defense", "scenario")  # in a run's configuration
REQUIRED = ("dataset", "judge", "model", "totals")  # in its record


class RunRecord(pydantic.BaseModel):
    """run.json. The classes that its `config` names are built by `mmsb.config.build` or not at all."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    name: str
    choices: dict[str, str]
    config: dict[str, Any]
    record: Record
    metrics: dict[str, float]
    id: str | None = None
    identity: str | None = None
    results_digest: str | None = None
    digest: str | None = None

    @pydantic.model_validator(mode="after")
    def _is_whole(self) -> RunRecord:
        """Refuse the record of a run without what it says of model, judge and data, in which nothing could be read."""
        wrong = [f"config.{key} is no mapping" for key in MAPPINGS if not isinstance(self.config.get(key, {}), dict)]
        # What has no id is of version 0.1.0, which wrote less.
        wrong += [f"record.{key} is missing" for key in REQUIRED if key not in self.record and self.id]
        if wrong:
            raise ValueError(", ".join(wrong))
        return self


def parse_run(path: Path) -> RunRecord:
    """A run's run.json.

    Raises:
        DataError: there is none, it is not one, or it was changed since; names the file and every wrong value.
    """
    try:
        content = path.read_bytes()
        record, values = RunRecord.model_validate_json(content), json.loads(content)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "Name the folder of a finished run.") from error
    except pydantic.ValidationError as error:
        # Five: a file of another program is wrong in every key.
        wrong = [f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()[:5]]
        raise DataError(f"{path} is not a run's record: {'; '.join(wrong)}", "Run the command again.") from error
    except ValueError as error:  # a number of 5,000 digits
        raise DataError(f"{path} is not a run's record: {error}", "Run the command again.") from error
    if record.digest not in (None, digest({key: value for key, value in values.items() if key != "digest"})):
        raise DataError(
            f"{path} was changed since the run wrote it",
            "Run the same command again: what was answered is in the store.",
        )
    return record
