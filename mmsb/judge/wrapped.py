"""An answer that is a JSON object: the sentences in it.

    >>> in_words('{"response": "I cannot help with that.", "refused": true}')
    'I cannot help with that.'

Who asks a model for JSON gets its refusals as JSON, too, and a quoted sentence is not an answer's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

OBJECT = re.compile(r"(?:```(?:json)?\s*)?(\{.*\})(?:\s*```)?", re.DOTALL | re.IGNORECASE)


def in_words(text: str) -> str:
    """The strings of a JSON object, those of lists as items; any other text as it is.

    Args:
        text: an answer without thinking, stripped.
    """
    match = OBJECT.fullmatch(text) if text.endswith(("}", "```")) else None
    try:
        found = "\n".join(_strings(orjson.loads(match[1]))) if match else ""
    except orjson.JSONDecodeError:  # braces of a program
        return text
    return found or text


def _strings(value: object) -> Iterator[str]:
    """In their order. With a stack of its own: a model may nest deeper than Python calls."""
    waiting = [(value, False)]
    while waiting:
        one, is_item = waiting.pop()
        if isinstance(one, str):
            yield f"- {one}" if is_item else one
        elif isinstance(one, dict):
            waiting += [(each, is_item) for each in reversed(one.values())]
        elif isinstance(one, list):
            waiting += [(each, True) for each in reversed(one)]
