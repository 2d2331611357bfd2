"""The lines of a batch: requests as they are uploaded, and what comes back.

{"custom_id": "<key>", "method": "POST", "url": "/v1/chat/completions", "body": {"model": ...}}

{"custom_id": "<key>", "response": {"status_code": 200, "body": {"choices": ...}}, "error": null}
{"custom_id": "<key>", "response": null, "error": {"code": "batch_expired", "message": "..."}}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mmsb.errors import DataError, StoreError
from mmsb.model.attempts import unsent
from mmsb.model.endings import filtered
from mmsb.model.request_errors import READ, RequestError, refused
from mmsb.replies import Malformed, Refused, parsed
from mmsb.secret import blotted, without_keys
from mmsb.types import Failure, Outcome, Prompt, Response

ROOT = "/v1"  # whatever the base URL is
LINES, BYTES = 50_000, 200_000_000  # of a file at OpenAI; others allow as much or more
CUSTOM_ID, HEAD = re.compile(rb'"custom_id":\s*"([0-9a-f]+)"'), 1000  # where it stands: before the answer
TWICE = Failure("malformed", "two different answers to one prompt")


@dataclass
class Written:
    """A file of requests.

    Attributes:
        keys: of its prompts.
        unsent: prompts that are in no file, and why.
        rest: prompts for which there was no room.
    """

    keys: list[str] = field(default_factory=list)
    unsent: dict[str, Failure] = field(default_factory=dict)
    rest: Sequence[Prompt] = ()


def write_requests(path: Path, prompts: Sequence[Prompt], request: Callable[[Prompt], bytes], url: str) -> Written:
    """Write as many prompts as one file may hold.

    Args:
        path: the file.
        prompts: of one engine, all for one endpoint of its server.
        request: makes the body of each.
        url: that endpoint.

    Raises:
        StoreError: it cannot be written.
    """
    written, size = Written(), 0
    try:
        with path.open("wb") as file:
            for number, prompt in enumerate(prompts):
                try:
                    # One unreadable picture fails by itself; raised, it would fail the 50,000 prompts of the file.
                    line = _line(prompt, request, url)
                except DataError as error:
                    written.unsent[prompt.key] = unsent(error)
                    continue
                if len(line) > BYTES:
                    written.unsent[prompt.key] = Failure("request_too_large", f"more than {BYTES:,} bytes")
                    continue
                if len(written.keys) == LINES or size + len(line) > BYTES:
                    written.rest = prompts[number:]
                    break
                file.write(line)
                written.keys.append(prompt.key)
                size += len(line)
    except OSError as error:
        raise StoreError.writing(path, error) from error
    return written


def _line(prompt: Prompt, request: Callable[[Prompt], bytes], url: str) -> bytes:
    parts = (prompt.key.encode(), url.encode(), request(prompt))
    return b'{"custom_id":"%s","method":"POST","url":"%s","body":%s}\n' % parts


# The body stays as bytes: it is read by the same parser as a reply that came at once.
class _Reply(msgspec.Struct):
    status_code: int | None = None  # which OpenAI's own description does not promise
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Answered(msgspec.Struct):
    custom_id: str
    response: _Reply | None = None
    error: Any = None


_answered: Callable[[bytes], _Answered] = msgspec.json.Decoder(_Answered).decode


@dataclass
class Came:
    """A file of what came back.

    Attributes:
        outcomes: by key.
        lines: how many there were, of whatever keys.
        odd: the first line that is none, as where the file broke off.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    lines: int = 0
    odd: str | None = None

    def take(self, key: str, outcome: Outcome) -> None:
        """Take in a line's outcome. Of one key's lines an answer counts more than a failure."""
        known = self.outcomes.get(key)
        if isinstance(known, Response) and isinstance(outcome, Response) and known.text != outcome.text:
            # Whose answer the other one is, nobody can tell: neither is believed.
            outcome = TWICE
        elif isinstance(known, Response) or known == TWICE:
            outcome = known
        self.outcomes[key] = outcome


def read_answers(path: Path, read: Callable[[bytes], Response], key: str | None, longest: int) -> Came:
    """What came back, line by line; the API key is blotted out where a server repeats it.

    Args:
        path: the file.
        read: reads a reply's body.
        key: the API key.
        longest: bytes of the longest line that is read, as of a reply that came at once.
    """
    came = Came()
    with path.open("rb") as file:
        for line, whole in _lines(file, longest):
            came.lines += 1
            if not whole:
                for found in CUSTOM_ID.findall(line[:HEAD]):
                    came.take(found.decode(), Failure("malformed", f"a line of more than {longest:,} bytes"))
                continue
            try:
                answered = parsed(_answered, without_keys(line, key), "a line of a batch")
            except Malformed as error:
                came.odd = came.odd or str(error)
            else:
                came.take(answered.custom_id, _outcome(answered, read, key))
    return came


def _lines(file: BinaryIO, longest: int) -> Iterator[tuple[bytes, bool]]:
    """Lines with something in them, and whether each is whole; of an endless one only the beginning is kept."""
    while line := file.readline(longest):
        whole = len(line) < longest or line.endswith(b"\n")
        more = b"" if whole else line
        while more and not more.endswith(b"\n"):
            more = file.readline(longest)
        if line.strip():
            yield line, whole


def _outcome(answered: _Answered, read: Callable[[bytes], Response], key: str | None) -> Outcome:
    response, error = answered.response, answered.error
    if response is not None and response.status_code in (200, None) and not error:
        try:
            return read(bytes(response.body))
        except Malformed as malformed:
            # Stored as nothing: the next run submits this prompt again.
            return _failure("malformed", str(malformed), key)
        except Refused as reply:
            met = refused(reply, key)
            return Failure(met.cause, met.message)
    status = response.status_code if response else None
    if response and response.status_code and not error:
        error = Refused(response.status_code, {}, bytes(response.body)).error
    # A filter's refusal is an outcome of its own, by whichever way it came; as a failure it would be asked again
    # for ever.
    if filtered(error):
        return Response("", "content_filter")
    said: Mapping[str, Any] = error if isinstance(error, dict) else {"message": error}
    cause = "rate_limit" if status == 429 else f"http_{status}"
    if status in (None, 200):
        cause = str(said.get("code") or "batch_error")
    return _failure(cause, str(said.get("message") or error or "no reason given"), key)


def _failure(cause: str, message: str, key: str | None) -> Failure:
    shown = RequestError(cause, blotted(message[:READ], key))
    return Failure(shown.cause, shown.message)
