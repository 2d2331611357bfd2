"""README and docs as tests see them: their fenced blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from tests.conftest import ROOT

SHELL = "bash"
LANGUAGES = {SHELL, "python", "yaml", "text", "csv", "json", "bibtex"}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(
    r"(?:^<!-- (?!commands )(?P<mark>[^\n]*) -->\n\n?)?^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PAGE_MARK = re.compile(r"^<!-- commands (?P<mark>[^\n]*) -->$", re.MULTILINE)
TITLE = re.compile(r'title="([^"]+)"')
MARK = re.compile(r"(?P<how>composed|run by (?P<test>tests/\w+\.py)|not run|ends with (?P<code>\d)): \S.*")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: of its page, from 1.
        language: of its fence.
        title: the file that the reader makes of it.
        how: what is done with its commands: "run", "composed", "run by", "not run".
        code: the exit code that its last command ends with.
        test: of "run by": the file that runs it.
    """

    page: str
    line: int
    language: str
    title: str | None
    text: str
    how: str = "run"
    code: int = 0
    test: str | None = None

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """Each command of a shell block as words, as a shell splits them."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a page.

    Raises:
        ValueError: a mark that says nothing known, or not why.
    """
    text, page = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    general = PAGE_MARK.search(text)
    return [_block(page, text, found, general and general["mark"]) for found in FENCE.finditer(text)]


def _block(page: str, text: str, found: re.Match[str], general: str | None) -> Block:
    language, _, rest = found["info"].partition(" ")
    title = TITLE.search(rest)
    line = text[: found.start("text")].count("\n")
    block = Block(page, line, language, title[1] if title else None, found["text"])
    said = found["mark"] or general
    if language != SHELL or not said:
        return block
    mark = MARK.fullmatch(said)
    if mark is None:
        raise ValueError(f"{block.where}: <!-- {said} --> is no mark; see CONTRIBUTING.md")
    how = "run" if mark["code"] else "run by" if mark["test"] else mark["how"]
    return replace(block, how=how, code=int(mark["code"] or 0), test=mark["test"])
