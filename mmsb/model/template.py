"""A chat template in place of a model's own: Jinja, in the settings or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsb.errors import ConfigError

MARK = "what a user said"  # looked for in what a template makes of it
SHOWN = 60  # letters of a template in an error
REMEDY = "Give a file of Jinja (model.template=FILE.jinja), or leave it out for the model's own."


def template_text(template: str | None) -> str | None:
    """The template's text: of a file, where the setting has no brace in it and so is no Jinja.

    Raises:
        ConfigError: there is no such file, or it is no text.
    """
    if template is None or "{" in template:
        return template
    try:
        return Path(template).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # the latter: bytes that are no text, or a path that can be none
        raise ConfigError(f"model.template={template} cannot be read: {error}", REMEDY) from error


def check_template(template: str | None, arguments: Mapping[str, Any], parts: bool) -> None:
    """See that a template is Jinja, and shows what is said.

    Args:
        template: of the settings.
        arguments: further variables of it.
        parts: whether it is given what is said as a list of parts.

    Raises:
        ConfigError: it is something else.
    """
    if (text := template_text(template)) is None:
        return
    from jinja2 import TemplateError, TemplateSyntaxError
    from transformers.utils.chat_template_utils import render_jinja_template

    begins = str(template).strip().splitlines()[0][:SHOWN] if str(template).strip() else "''"
    said = [{"type": "text", "text": MARK}] if parts else MARK
    turns = [{"role": role, "content": said} for role in ("user", "assistant")]
    try:
        shown, _ = render_jinja_template([turns], chat_template=text, **arguments)
    except TemplateSyntaxError as error:
        raise ConfigError(
            f"model.template={begins} is no Jinja: {error.message} (line {error.lineno})", REMEDY
        ) from error
    except (TemplateError, TypeError, KeyError, ValueError):  # it wants a chat of another kind
        return
    if MARK not in shown[0]:
        raise ConfigError(f"model.template={begins} leaves out what is said", REMEDY)
    if str(said) in shown[0] and parts:
        problem = f"model.template={begins} takes what is said for a text, and it is a list of parts"
        raise ConfigError(problem, "Write it over them: {% for part in message.content %}, part.type, part.text.")
