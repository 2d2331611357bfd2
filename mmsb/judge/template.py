"""A guard's own prompt format: Jinja over `request`, `answer` (none where a request is checked) and `context`.

The guard renders it, so that the same text reaches the model whatever runs it. What is judged cannot speak as a format
does: special tokens in it are made plain text first.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from mmsb.errors import ConfigError

HINT = "It may use request, answer (none where a request is checked) and context."
SPECIALS = re.compile(
    r"<\|[^<>|\s]{1,40}\|>"  # <|im_end|>, <|eot_id|>, <|header_start|>, <|start_of_role|>
    r"|<\uff5c[^<>\uff5c]{1,40}\uff5c>"  # of DeepSeek
    r"|</?s>|<(?:bos|eos|pad|unk|mask|(?:start|end)_of_(?:turn|image)|image(?:_soft_token)?)>"
    r"|\[/?INST\]|<</?SYS>>"
)


def plain(text: str) -> str:
    """`text` with a zero-width space inside each special token of a known family of models."""
    return SPECIALS.sub(lambda match: match[0][0] + "\u200b" + match[0][1:], text)


def rendered(template: str, request: str, answer: str | None, context: str | None) -> str:
    """The text that the guard's model reads.

    Raises:
        ConfigError: the template cannot be read, or names something else.
    """
    from jinja2 import TemplateError

    turns = {"request": plain(request), "answer": None if answer is None else plain(answer)}
    try:
        text: str = _compiled(template).render(turns, context=context)
    except TemplateError as error:
        raise ConfigError(f"judge.template cannot be rendered: {error}", HINT) from error
    return text


@lru_cache(maxsize=32)
def _compiled(template: str) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return environment.from_string(template)
