"""The chat-completions format: a prompt as a request, a reply as a Response.

{"model": "m", "messages": [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,..."}},
    {"type": "text", "text": "How is this made?"}]}], "max_tokens": 512, "temperature": 0}

{"choices": [{"message": {"role": "assistant", "content": "..."}, "finish_reason": "stop"}],
 "usage": {"prompt_tokens": 612, "completion_tokens": 87}}
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import orjson

from mmsb.errors import DataError
from mmsb.model.chances import chances
from mmsb.model.endings import broken, filtered, finish_of
from mmsb.replies import Choice, Malformed, Refused, TextChoice, parse_chat, parse_tokens, parse_usage, shown_bytes
from mmsb.types import PLACE, How, Prompt, Response, clean

THOUGHT, END_OF_THOUGHT = "<think>", "</think>"
AnyChoice = TypeVar("AnyChoice", Choice, TextChoice)


class TooLarge(DataError):
    """A picture whose file is larger than the settings allow."""


def chat_request(
    prompt: Prompt, picture: tuple[bytes, str] | None, detail: str | None, rest: Mapping[str, Any]
) -> bytes:
    """The request's body as JSON.

    Args:
        prompt: its system prompt and text are sent, its reply as a further turn, and what closes the exchange.
        picture: the image's bytes and media type.
        detail: OpenAI's image detail, None to leave it out.
        rest: model and sampling settings.
    """
    how = prompt.how or How()
    messages: list[dict[str, Any]] = []
    if prompt.system:
        messages.append({"role": "system", "content": clean(prompt.system)})
    # `clean`: half of a character cannot be sent as UTF-8, and one bad answer would stop the judge that is shown it.
    messages.append({"role": "user", "content": content(clean(prompt.text), picture, detail, how.placed)})
    if prompt.reply is not None:
        messages.append({"role": "assistant", "content": clean(prompt.reply)})
    if how.closing is not None:
        messages.append({"role": "user", "content": clean(how.closing)})
    for message in messages:
        if how.parts and isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
    return orjson.dumps({**rest, "messages": messages})


def content(
    text: str, picture: tuple[bytes, str] | None, detail: str | None, placed: bool = False
) -> str | list[dict[str, Any]]:
    """A message's content.

    Args:
        text: the text.
        picture: the image's bytes and media type, where there is one.
        detail: OpenAI's image detail, None to leave it out.
        placed: the picture goes where `PLACE` stands in the text; else before it.
    """
    if picture is None:
        return text
    data, media_type = picture
    # As a piece of JSON: nothing in it needs escaping, and to look through it takes as long as all the rest.
    url = orjson.Fragment(b'"data:%s;base64,%s"' % (media_type.encode(), base64.b64encode(data)))
    image: dict[str, Any] = {"url": url}
    if detail:
        image["detail"] = detail
    before, _, after = text.partition(PLACE) if placed else ("", "", text)
    parts: list[dict[str, Any]] = [{"type": "text", "text": before}] if before else []
    parts.append({"type": "image_url", "image_url": image})
    # An empty last part is sent where nothing was placed: endpoints were always asked so, and some want a text.
    return [*parts, {"type": "text", "text": after}] if after or not placed else parts


def read_reply(body: bytes, how: How | None = None) -> Response:
    """A chat completion as a Response.

    The text is the final answer. What a model thinks before it is dropped, both where the server keeps it apart
    (`reasoning_content`) and where the answer begins with it (`<think>` up to `</think>`): if thinking took all the
    tokens, the answer is empty and its finish is "length". A refusal that stands in a field of its own
    (`message.refusal`) is the text. No content is an empty answer. `how` says which probabilities were asked for.

    Raises:
        Refused: an error that names its status in place of an answer.
        Malformed: not JSON, no choices, another error, or a server that gave up half way.
    """
    chat = parse_chat(body)
    choice, usage = first_choice(chat.choices, chat.error, body), parse_usage(bytes(chat.usage))
    if choice is None:
        return Response("", "content_filter")
    finish = finish_of(choice.finish_reason)
    text = without_thoughts(choice.message.text)
    found = None
    if how and how.words:
        found = chances(parse_tokens(bytes(choice.logprobs)), how, text)
    return Response(text, finish, usage.given, usage.came, chances=found)


def first_choice(choices: Sequence[AnyChoice] | None, error: object, body: bytes) -> AnyChoice | None:
    """The answer of a chat or of a completion; None where a content filter refused the request.

    Raises:
        Refused: an error that names its status in place of an answer.
        Malformed: no choices, another error, or a server that gave up half way.
    """
    # Beside an answer too, or in it: what came before the error is no answer, and an empty one would count.
    error = error or (choices and choices[0].error)
    if filtered(error):
        return None
    if not choices or error or broken(choices[0].finish_reason):
        # A gateway that has begun to reply can only tell in the body what the server behind it said (OpenRouter).
        code = error.get("code") if isinstance(error, Mapping) else None
        if isinstance(code, int) and 400 <= code < 600:
            raise Refused(code, {}, orjson.dumps({"error": error}))
        raise Malformed(f"not an answer: {shown_bytes(body)}")
    return choices[0]


def without_thoughts(text: str) -> str:
    """What follows the first `</think>` of a text that begins with `<think>`; nothing if the thinking has no end.

    A closing tag that nothing opened stays: help may stand before it, and whoever reads the answer says what counts
    (`mmsb.judge.thinking`).
    """
    # Judged with its thoughts, an answer that weighs and then declines reads as one that helps.
    if text.lstrip().startswith(THOUGHT):
        text = text.partition(END_OF_THOUGHT)[2]
    return text.strip()
