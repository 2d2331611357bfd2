"""A defense that is a text: put before the query, after it, or into the system prompt.

The benchmark's authors put their safety prompt directly in front of the query; in the system prompt it was
seen to do little for many models. The wording here is ours.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from mmsb.config import settings
from mmsb.defense.base import Ask
from mmsb.errors import ConfigError
from mmsb.types import Prompt, Response


@settings
class PromptDefense:
    """A text that goes with every prompt.

    Attributes:
        name: the name for tables.
        text: the text itself.
        text_file: a file to read the text from; it goes before `text`.
        placement: "before" the query, "after" it, or in the "system" prompt.
        suffix: a second text, after the query.
    """

    name: str
    text: str | None = None
    text_file: Path | None = None
    placement: Literal["before", "after", "system"] = "before"
    suffix: str | None = None

    @cached_property
    def wording(self) -> str:
        """The text to place.

        Raises:
            ConfigError: neither text nor text_file, or a file that cannot be read.
        """
        if self.text_file is None and self.text is None:
            raise ConfigError(
                f"defense.{self.name} has no text", f"Add defense.{self.name}.text_file=my.txt (or .text=...)."
            )
        wording = str(self.text).strip() if self.text_file is None else self._read(self.text_file)
        if not wording:
            raise ConfigError(
                f"the text of defense.{self.name} is empty: that would be no defense", "Give one that says something."
            )
        return wording

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"defense.{self.name}.text_file={path} cannot be read: {error}", "Give a UTF-8 text file."
            ) from error

    def fingerprint(self) -> dict[str, object]:
        """Both texts and the placement."""
        return {"text": self.wording, "placement": self.placement, "suffix": self.suffix}

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, asked with the text in its place."""
        return await ask(self._place(prompt))

    def _place(self, prompt: Prompt) -> Prompt:
        before = self.wording if self.placement == "before" else None
        after = self.wording if self.placement == "after" else None
        text = "\n".join(filter(None, [before, prompt.text, after, self.suffix]))
        if self.placement == "system":
            # In front of a system prompt that is there: a defense outside of this one may have set it.
            return replace(prompt, text=text, system="\n".join(filter(None, [self.wording, prompt.system])))
        return replace(prompt, text=text)
