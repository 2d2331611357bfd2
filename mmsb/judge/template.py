"""A guard's own prompt format: Jinja over `request`, `answer` (none where a request is checked), `context`, `picture`.

The guard renders it, so that the same text reaches the model whatever runs it. What is judged cannot speak as a format
does: special tokens in it are made plain text first. `picture` is the character at whose place the picture goes; empty
where there is none.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from mmsb.errors import ConfigError
from mmsb.types import PLACE

HINT = "It may use request, answer (none where a request is checked), context and picture."
SPECIALS = re.compile(
    r"<\|[^<>|\s]{1,40}\|>"  # <|im_end|>, <|eot_id|>, <|header_start|>, <|start_of_role|>
    r"|<\uff5c[^<>\uff5c]{1,40}\uff5c>"  # of DeepSeek
    r"|</?s>|<(?:bos|eos|pad|unk|mask|(?:start|end)_of_[a-z_]{2,30}|image(?:_soft_token)?)>"
    r"|\[/?INST\]|<</?SYS>>"
    # Marks that are no tokens, but between which guards were trained to find what they judge, and their own verdicts.
    r"|</?(?:BEGIN|END)[ _][A-Z][A-Z _]{2,40}>|</?(?:guardian|no-think|score|confidence|result)>"
)


def plain(text: str) -> str:
    """`text` with a zero-width space inside each special token and mark of a known family of models or guards."""
    text = text.replace(PLACE, "\ufffd")  # else a text could say where its picture goes
    # Broken rather than removed: what is left of a removed mark can close up into another one.
    return SPECIALS.sub(lambda match: match[0][0] + "\u200b" + match[0][1:], text)


def rendered(template: str, request: str, answer: str | None, context: str | None, pictured: bool = False) -> str:
    """The text that the guard's model reads.

    Args:
        template: the format.
        request: the user's turn.
        answer: the assistant's; None where there is none.
        context: what the format is to ask about.
        pictured: whether a picture comes with it.

    Raises:
        ConfigError: the template cannot be read, or names something else.
    """
    # Here, not in each format: a format of a user's own is then as safe.
    turns = {"request": plain(request), "answer": None if answer is None else plain(answer)}
    try:
        text: str = _compiled(template).render(turns, context=context, picture=PLACE if pictured else "")
    except Exception as error:  # what a stranger's template does, raises anything
        raise ConfigError(f"judge.template cannot be rendered: {error}", HINT) from error
    return text


@lru_cache(maxsize=32)
def names(template: str | None) -> frozenset[str]:
    """What a format uses of what it may."""
    from jinja2 import TemplateError
    from jinja2.meta import find_undeclared_variables

    try:
        return frozenset(find_undeclared_variables(_environment().parse(template or "")))
    except TemplateError as error:
        raise ConfigError(f"judge.turn cannot be read: {error}", HINT) from error


@lru_cache(maxsize=32)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@cache
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # A config may come from a stranger, hence the sandbox. Blocks are trimmed as transformers trims them; a misspelt
    # variable is an error, not a gap.
    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
