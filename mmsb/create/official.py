"""The authors' own instructions, read out of the user's checkout: their files are parsed and never run.

Their script keeps a system prompt for each family in string constants, `sys_prompt` for scenarios 01 to 09 and
`sys_prompt_legal`, `sys_prompt_financial`, `sys_prompt_health` and `sys_prompt_gov_decision`, each with worked examples
under the headings [Question], [Key Phrase] and so on. Any constant of that form is found by these endings.
"""

from __future__ import annotations

import ast
from functools import cached_property
from pathlib import Path

from mmsb.config import settings
from mmsb.create.instructions import Instructions
from mmsb.errors import ConfigError
from mmsb.scripts import parsed, texts

ENDINGS = {"legal": "legal", "financial": "financial", "health": "health", "gov": "government"}
DEPTH = ("*.py", "*/*.py", "*/*/*.py")  # where a script of theirs may lie; a virtual environment lies deeper
WHERE = "Set instructions.root to a checkout of the authors' repository, or use instructions=ours."


@settings
class Official(Instructions):
    """The authors' system prompts, with our way of reading replies.

    Attributes:
        root: their checkout.
    """

    root: Path

    @cached_property
    def texts(self) -> dict[str, str]:
        """Their system prompts by family.

        Raises:
            ConfigError: none there, or two different ones for a family.
        """
        found: dict[str, str] = {}
        for path in sorted(path for below in DEPTH for path in self.root.glob(below)):
            for name, text in _texts(path):
                if not all(f"[{self.heading(part)}]" in text for part in ("phrase", "type", "rephrased")):
                    continue
                family = next((family for ending, family in ENDINGS.items() if ending in name.lower()), "harm")
                if found.setdefault(family, text) != text:
                    raise ConfigError(f"{self.root} holds two texts for {family} scenarios, one in {path}", WHERE)
        if lacking := sorted(set(self.families) - set(found)):
            raise ConfigError(f"instructions.root={self.root} has no instructions for {', '.join(lacking)}", WHERE)
        return found

    def instruction(self, family: str) -> str:
        """The authors' system prompt of a family."""
        return self.texts[family]

    def ask(self, question: str, problem: str | None = None) -> str:
        """The question under its heading, as in the authors' examples; they ask again without a reason."""
        return f"[{self.headings.question}]\n{question}\n\n"


def _texts(path: Path) -> list[tuple[str, str]]:
    """(name, text) of each string that is given a name, in functions too."""
    try:
        return list(texts(ast.walk(parsed(path, "instructions.root", WHERE))))
    except ConfigError:
        return []  # a file for another Python is not the one
