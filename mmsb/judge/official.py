"""The benchmark authors' own judging prompts, read from the user's copy of their `evaluation.py`.

The file is parsed, never executed: string constants named `gpt_query_template*` with `{prediction}`, and which
scenario each is used for, from comparisons such as `scenario == "08-Political_Lobbying"`. The prompts are sent as
they are, with the answer alone put in, its special tokens made plain: nothing else protects them from an answer that
speaks to the judge (docs/judges.md). For numbers that compare with the paper; `rubric` is the sturdier judge.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmsb.config import settings
from mmsb.digest import digest
from mmsb.errors import ConfigError
from mmsb.flow import Asking
from mmsb.judge.answers import Reading, final_answer
from mmsb.judge.asking import confer, safe_or_unsafe
from mmsb.judge.base import Answer
from mmsb.judge.template import plain
from mmsb.model.base import Engine
from mmsb.scenario import Scenario
from mmsb.scripts import parsed, texts
from mmsb.types import Prompt, Verdict

PREFIX = "gpt_query_template"
PLACE = "{prediction}"
WHERE = "Give the evaluation.py of a checkout of the authors' repository: judge.evaluation_file=.../evaluation.py"


@dataclass(frozen=True)
class Templates:
    """The authors' prompts.

    Attributes:
        by_scenario: the prompt of each scenario id that the file names.
        other: the prompt of all scenarios it does not name.
    """

    by_scenario: Mapping[str, str]
    other: str

    def of(self, scenario: Scenario) -> str:
        """The scenario's prompt, with `{prediction}` where the answer goes."""
        return self.by_scenario.get(scenario.id, self.other)


@settings
class Official:
    """Settings of the authors' judge.

    Attributes:
        name: the name for tables.
        model: the judging model; theirs was GPT-4.
        evaluation_file: the authors' evaluation.py.
    """

    name: str = "official"
    model: Engine
    evaluation_file: Path

    @cached_property
    def templates(self) -> Templates:
        """The prompts in the file.

        Raises:
            ConfigError: no such file, or not one with the authors' templates.
        """
        return read_templates(self.evaluation_file)

    def fingerprint(self) -> dict[str, object]:
        """The prompts and the model."""
        prompts = digest([dict(self.templates.by_scenario), self.templates.other])
        return {"judge": "official", "templates": prompts, "model": dict(self.model.fingerprint())}

    async def verdict(self, answer: Answer, ask: Asking) -> Verdict:
        """Ask about the answer; about an empty one too, as the authors do."""
        # Their GPT-4 is asked about silence, too, and its verdict is in the paper's rates.
        return await confer(self.model, answer, ask, self.prompts(answer, answer.reading), self.decide)

    def prompts(self, answer: Answer, reading: Reading) -> list[Prompt]:
        """The scenario's prompt with the answer in its place; braces in the answer mean nothing."""
        # Not `format`: braces in an answer would raise, or be filled.
        before, _, after = self.templates.of(answer.scenario).partition(PLACE)
        # The API that theirs was asked through reads no special tokens; an open model's server makes turns of them.
        return [Prompt(f"{before}{plain(final_answer(answer.response.text))}{after}")]

    def decide(self, answer: Answer, reading: Reading, replies: list[str]) -> Verdict:
        """Safe or unsafe in any spelling; anything else is unparsed."""
        return Verdict(safe_or_unsafe(replies[0]), reading.refusal, reading.flags)


def read_templates(path: Path) -> Templates:
    """Find the templates and their scenarios in a file of the authors' structure.

    Raises:
        ConfigError: the file cannot be read or parsed, or lacks a template or its use.
    """
    tree = parsed(path, "judge.evaluation_file", WHERE)
    # By shape rather than by line: a checkout of another day, or one with edits, reads as well.
    templates = {name: text for name, text in texts(tree.body) if name.startswith(PREFIX)}
    if not templates:
        raise ConfigError(f"{path} has no string constants {PREFIX}*", WHERE)
    for name, text in templates.items():
        # A prompt that lost its place would ask about nothing, and be answered safe.
        if text.count(PLACE) != 1:
            raise ConfigError(f"{name} in {path} does not hold {PLACE} once", WHERE)
    used = dict(_uses(tree))
    unknown = sorted(set(used.values()) - set(templates))
    if unknown:
        raise ConfigError(f"{path} uses {', '.join(unknown)} but does not define it as a string", WHERE)
    # Guessing the template of the other eight scenarios would give numbers that only look like the paper's.
    if None not in used:
        raise ConfigError(f"{path} does not say which template is for the remaining scenarios (an else branch)", WHERE)
    return Templates({scenario: templates[name] for scenario, name in used.items() if scenario}, templates[used[None]])


def _uses(tree: ast.Module) -> Iterator[tuple[str | None, str]]:
    """(scenario id, template name) of each branch `if scenario == id: ... = template`; None for the last else."""
    for node in ast.walk(tree):
        match node:
            case ast.If(test=ast.Compare(ops=[ast.Eq()], comparators=[ast.Constant(value=str(scenario))])):
                for name in _assigned(node.body):
                    yield scenario, name
                for name in _assigned(node.orelse):
                    yield None, name


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Assign(value=ast.Name(id=name)) if name.startswith(PREFIX):
                yield name
