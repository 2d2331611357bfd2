"""What endpoints reply, parsed by strict schemas (see `mmsb.schemas`): a malformed reply is asked again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from mmsb.schemas import BROKEN, Count
from mmsb.types import clean

T = TypeVar("T")
SHOWN_BYTES = 2000  # of a malformed reply
NUMBERS = {"-Infinity": -sys.float_info.max}


class Malformed(Exception):
    """A reply that is not what the endpoint's protocol says."""


class Refused(Exception):
    """A reply that is no success.

    Attributes:
        status: of HTTP.
        headers: their names in any case.
        error: what the body says of it: its "error" where it has one, else the whole; text where it is no JSON.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Read the body as far as it can be read."""
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.error = _error_in(body)


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
            # Thoughts are left out here: a judge would read "how to" in them where the answer declines.
            said = "".join(part.text or "" for part in self.content if part.type in ("text", "output_text"))
            return said or self.refusal or "".join(part.refusal or "" for part in self.content)
        return self.content or self.refusal or ""


class Choice(msgspec.Struct, frozen=True):
    """One answer; only the first is read."""

    message: Message
    finish_reason: str | None = None
    error: Any = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")  # parsed where they were asked for


Place = tuple[str, list[tuple[str, float | None]]]


class Token(msgspec.Struct, frozen=True):
    """A token of a chat's answer, with its log-probability and those of the likeliest in its place."""

    token: str
    logprob: float | None
    top_logprobs: list[Token] = []

    @property
    def place(self) -> Place:
        """The token, and the likeliest in its place."""
        return self.token, [(other.token, other.logprob) for other in self.top_logprobs]


class ChatTokens(msgspec.Struct, frozen=True):
    """The tokens of a chat's answer."""

    content: list[Token] | None = None

    @property
    def places(self) -> list[Place]:
        """The tokens in order."""
        return [token.place for token in self.content or ()]


class TextTokens(msgspec.Struct, frozen=True):
    """The tokens of a completion, with the likeliest in each one's place; llama.cpp lists them as in a chat."""

    tokens: list[str] = []
    top_logprobs: list[dict[str, float | None] | None] | None = None
    content: list[Token] | None = None

    @property
    def places(self) -> list[Place]:
        """The tokens in order."""
        if self.content:
            return [token.place for token in self.content]
        likely = [list((listed or {}).items()) for listed in self.top_logprobs or ()]
        return list(zip(self.tokens, likely, strict=False))


class TextChoice(msgspec.Struct, frozen=True):
    """One completion; only the first is read. `matched_stop` is SGLang's, in every reply of it."""

    text: str
    finish_reason: str | None = None
    error: Any = None
    logprobs: TextTokens | None = None
    matched_stop: Any = msgspec.UNSET


class Usage(msgspec.Struct, frozen=True):
    """What the call cost, in tokens. A value that is no count is as none: the answer beside it was paid for."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    total_tokens: Any = None

    @property
    def given(self) -> int | None:
        """Tokens in; None where the reply does not say: no prompt has none, and some gateways write 0 for all."""
        return _count(self.prompt_tokens) or None

    @property
    def came(self) -> int | None:
        """Tokens out, with the thinking that some (Gemini, Grok) count in the total alone, and charge for."""
        came, given, total = _count(self.completion_tokens), self.given, _count(self.total_tokens)
        if given is None:
            return came or None
        return came if came is None or total is None else max(came, total - given)


def _count(found: object) -> int | None:
    try:
        return msgspec.convert(found, Count, strict=False)  # 7.0 and "7" are 7, as some gateways write it
    except msgspec.ValidationError:
        return None


class Chat(msgspec.Struct, frozen=True):
    """A chat completion, or an endpoint's error in its place.

    {"choices": [{"message": {"content": "..."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 612, ...}}
    """

    choices: list[Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


class Completion(msgspec.Struct, frozen=True):
    """A completion of a text, or an endpoint's error in its place."""

    choices: list[TextChoice] | None = None
    system_fingerprint: Any = None  # Ollama's is "fp_ollama", llama.cpp's such as "b6123-4f9c2a1"
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


class Moderated(msgspec.Struct, frozen=True):
    """A moderation's reading of one text."""

    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]


class Moderation(msgspec.Struct, frozen=True):
    """A moderation's reply."""

    results: Annotated[list[Moderated], msgspec.Meta(min_length=1)]


class Named(msgspec.Struct, frozen=True):
    """Which model a reply says that it is of."""

    model: str | None = None


Answered = TypeVar("Answered", Chat, Completion)
_chat: Callable[[bytes], Chat] = msgspec.json.Decoder(Chat).decode
_chat_tokens: Callable[[bytes], ChatTokens | None] = msgspec.json.Decoder(ChatTokens | None).decode
_usage: Callable[[bytes], Usage | None] = msgspec.json.Decoder(Usage | None).decode
_completion: Callable[[bytes], Completion] = msgspec.json.Decoder(Completion).decode
_moderation: Callable[[bytes], Moderation] = msgspec.json.Decoder(Moderation).decode
_named: Callable[[bytes], Named] = msgspec.json.Decoder(Named).decode


def parse_chat(content: bytes) -> Chat:
    """A reply of /chat/completions. It has a choice or an error.

    Raises:
        Malformed: it is neither, or a value is of the wrong type.
    """
    return _answered(_chat, content, "a chat completion")


def parse_tokens(content: bytes) -> list[Place]:
    """The `logprobs` of a chat's answer.

    Raises:
        Malformed: a value is of the wrong type.
    """
    found = parsed(_chat_tokens, content, "the log-probabilities of an answer")
    return found.places if found else []


def parse_usage(content: bytes) -> Usage:
    """The `usage` of a reply; one without counts where it has none that can be read."""
    try:
        return _usage(content) or Usage()
    except BROKEN:
        return Usage()


def parse_completion(content: bytes) -> Completion:
    """A reply of /completions. It has a choice or an error.

    Raises:
        Malformed: it is neither, or a value is of the wrong type.
    """
    return _answered(_completion, content, "a completion")


def parse_moderation(content: bytes) -> Moderated:
    """The first result of a reply of /moderations.

    Raises:
        Malformed: there is none, or a value is of the wrong type.
    """
    return parsed(_moderation, content, "a moderation").results[0]


def parse_model(content: bytes) -> str | None:
    """The model that a reply says it is of; None where it says none."""
    try:
        return _named(content).model
    except BROKEN:  # who reads the answer says what is wrong with it, or mends it
        return None


def _answered(decode: Callable[[bytes], Answered], content: bytes, what: str) -> Answered:
    reply = parsed(decode, content, what)
    # A reply without either must not become an empty answer, which would count as safe.
    if not reply.choices and not reply.error:
        raise Malformed(f"not {what} (no choices): {shown_bytes(content)}")
    return reply


def parsed(decode: Callable[[bytes], T], content: bytes, what: str) -> T:
    """A reply as `decode` reads it, mended where it is no strict JSON; `what` it should be, for the error.

    Raises:
        Malformed: it is not that.
    """
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
    r"""The same as strict JSON: some servers send halves of characters (\ud83d alone; here U+FFFD), raw controls, NaN.

    Such a reply holds an answer that was paid for: asking again would bring the same.
    """
    try:
        text = content.decode(json.detect_encoding(content), "replace")
        # Python's servers write -Infinity for what is impossible. As a count this is none; NaN is no number at all.
        found = json.loads(text.removeprefix("\ufeff"), strict=False, parse_constant=NUMBERS.get)
        return clean(json.dumps(found, ensure_ascii=False)).encode()
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error


def _error_in(body: bytes) -> object:
    text = body.decode("utf-8", "replace").strip()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found.get("error", found) if isinstance(found, dict) else found


def shown_bytes(content: bytes) -> str:
    """The beginning of a reply, for messages."""
    return repr(content[:SHOWN_BYTES].decode("utf-8", "replace"))
