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
    r"<\|[^<>|\s]{1,60}\|?>|<[a-z_]{2,30}\|>"  # <|im_end|>, <|start_of_role|>; Gemma 4's <|turn> and <turn|>
    r"|<\uff5c[^<>\uff5c]{1,40}\uff5c>"  # of DeepSeek
    r"|</?s>|<(?:bos|eos|pad|unk|mask|sop|eop|(?:start|end)_of_[a-z_]{2,30}|image(?:_soft_token)?|IMG_CONTEXT)>"
    r"|<(?:SPECIAL_|unused|reserved_|extra_id_)\d+>|<(?:BOS|EOS|PAD|UNK|MASK)_TOKEN>|</?seed:[a-z_]{2,30}>"
    r"|<fim_(?:prefix|middle|suffix|pad)>|<2mass>|<(?:reponame|filename|gh_stars|tts_[a-z_]{2,20})>"
    r"|</?(?:think|img|tool_call|tool_response)>"
    r"|\[\|/?[a-z_]{2,30}\|\]|\]~!?b[\[\]]|\[e~\["  # of EXAONE, of MiniMax
    r"|\[/?(?:INST|SYSTEM_PROMPT|MODEL_SETTINGS|THINK|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT)|CALL_ID|ARGS"
    r"|IMG(?:_BREAK|_END)?|(?:BEGIN_)?AUDIO|PREFIX|MIDDLE|SUFFIX|gMASK|@BOS@|control_\d+)\]|<</?SYS>>"
    # Marks that are no tokens, but between which guards were trained to find what they judge, and their own verdicts.
    r"|</?(?:BEGIN|END)[ _][A-Z][A-Z _]{2,40}>|</?(?:guardian|no-think|score|confidence|result|answer)>"
    r"|<(?:Instruct|Query|Document)>"
)
# Who speaks, at the beginning of a line: formats of guards tell turns apart by such words alone, and judge the last.
_ENDS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"  # of lines
SPEAKERS = re.compile(
    rf"(?:(?<=[{_ENDS}])|\A)(?:[^\w{_ENDS}]|_){{0,20}}(?:\d{{1,3}}[^\w{_ENDS}]{{1,4}})?"
    r"(?:\[(?:user|assistant|context|behavior|generation)\]|(?:user|(?:response: )?agent|assistant"
    r"|human(?: user| question)?|ai assistant|chatbot response|behavior|generation|rules|answers)"
    rf"(?=\W{{0,8}}[:\uff1a]|[^\w{_ENDS}]{{0,8}}(?:[{_ENDS}]|\Z)))",
    re.IGNORECASE,
)
HIDDEN = "\u200b"  # a zero-width space


def plain(text: str) -> str:
    """`text` with a zero-width space inside each special token and mark of a known family of models or guards."""
    text = text.replace(PLACE, "\ufffd")  # else a text could say where its picture goes
    # Broken rather than removed: what is left of a removed mark can close up into another one.
    return SPECIALS.sub(lambda match: match[0][0] + HIDDEN + match[0][1:], text)


def one_turn(text: str) -> str:
    """`plain`, and no line of it begins with the name of a speaker: for formats that tell turns apart by these."""
    return SPEAKERS.sub(lambda match: match[0][:-1] + HIDDEN + match[0][-1], plain(text))


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
    turns = {"request": one_turn(request), "answer": None if answer is None else one_turn(answer)}
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
