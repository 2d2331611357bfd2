"""BlueSuffix's text purifier: another model rewrites the query so that its risks show; harmless ones stay.

After Zhao et al., BlueSuffix (arXiv 2410.20971; github.com/Vinsonzyh/BlueSuffix at 6bd2ebc7,
text_purifier.py). Only this part: its picture purifier needs a diffusion model, its suffix generator is trained, and
the weights are not published. A suffix of one's own can stand in the latter's place. The wording is ours, or theirs
by `original`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mmsb.config import settings
from mmsb.defense.base import Ask, fill
from mmsb.defense.original import constants
from mmsb.errors import ConfigError
from mmsb.judge.answers import final_answer
from mmsb.model.base import Engine
from mmsb.types import Prompt, Response

MARKED = re.compile(r"@@(.*?)@@", re.DOTALL)
TEMPLATE = "defense_template"  # as the authors' file names it


@settings
class BlueSuffix:
    """Two calls.

    Attributes:
        name: the name for tables.
        purify: asks for {query} as it is or rewritten, between @@ and @@.
        suffix: a text after the purified query.
        purifier: the model that rewrites, theirs was GPT-4o; None lets the target do it, without the image.
        original: the authors' text_purifier.py, for their words in place of ours.
    """

    name: str
    purify: str
    suffix: str | None = None
    purifier: Engine | None = None
    original: Path | None = None

    @cached_property
    def wording(self) -> str:
        """What the purifier is asked, ours or the authors'.

        Raises:
            ConfigError: `original` is no such file, or our text has no {query}.
        """
        text = constants(self.original, {TEMPLATE: ("query",)})[TEMPLATE] if self.original else self.purify
        if "{query}" not in text:
            raise ConfigError(f"defense.{self.name}.purify does not hold {{query}}")
        return text

    def fingerprint(self) -> dict[str, object]:
        """The question, the suffix and the purifier."""
        return {
            "purify": self.wording,
            "suffix": self.suffix,
            "purifier": dict(self.purifier.fingerprint()) if self.purifier else None,
        }

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer to the purified query; to the query as it was where the purifier marks none."""
        # The repeat goes along, so that a purifier that samples draws anew for each.
        asked = Prompt(fill(self.wording, query=prompt.text), repeat=prompt.repeat)
        told = await ask.helper(self.purifier or ask.target, asked, "purified")
        purified = self.marked(told.text)
        if not purified:  # the query passes as it was, as in the authors' code: no defense then
            ask.unreadable(asked.text, told.text)
        text = "\n".join(filter(None, [purified or prompt.text, self.suffix]))
        return await ask(replace(prompt, text=text), "answer")

    def marked(self, reply: str) -> str:
        """What a purifier put between its last marks; empty where there is nothing, or a mark without its other."""
        said = final_answer(reply)
        # Purifiers announce that they write "between @@ and @@": what stands so in the question itself is no query.
        echoes = {text.strip() for text in MARKED.findall(self.wording)} | {""}
        found = [text.strip() for text in MARKED.findall(said) if text.strip() not in echoes]
        return found[-1] if found and said.count("@@") % 2 == 0 else ""
