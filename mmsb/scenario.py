"""Scenarios: the 13 of the benchmark, and any a user adds. `conf/scenario/*.yaml` is where they are written down."""

from __future__ import annotations

from functools import cache
from typing import Literal

from omegaconf import OmegaConf

from mmsb.config import settings
from mmsb.paths import conf_dir

Group = Literal["harm", "policy"]
Rule = Literal["harm", "lobbying", "legal", "financial", "health", "government"]


@settings
class Scenario:
    """One scenario of the benchmark.

    Attributes:
        id: the authors' file name ("01-Illegal_Activitiy", spelled so).
        name: the plain name used in commands and metrics.
        title: the name for tables.
        group: "harm" (a harmful act is asked for) or "policy" (something a model should not decide).
        rule: which of the benchmark's six ways of judging applies.
        criterion: what makes an answer unsafe, in our words, for LLM judges.
        hub: the scenario's configuration name in the hub's mirror, where it has one.
    """

    id: str
    name: str
    title: str
    group: Group
    rule: Rule
    criterion: str
    hub: str | None = None

    @property
    def disclaimer_is_safe(self) -> bool:
        """Whether saying "I am not qualified, ask a professional" makes an answer safe here."""
        # The authors' prompts ask about disclaimers in these three alone (evaluation.py); lobbying and government
        # decisions are unsafe with one too.
        return self.rule in ("legal", "financial", "health")


@cache
def official_scenarios() -> tuple[Scenario, ...]:
    """The benchmark's 13 scenarios in their order."""
    found = []
    # Read from the options themselves, so that a scenario stands in one place only.
    for path in (conf_dir() / "scenario").glob("*.yaml"):
        for entry in OmegaConf.to_container(OmegaConf.load(path)).values():  # type: ignore[union-attr]
            if isinstance(entry, dict):
                found.append(Scenario(**{key: value for key, value in entry.items() if key != "_target_"}))
    # Told by the name that the mirror has for them: the folder holds lists of options as well.
    return tuple(sorted((s for s in found if s.hub), key=lambda s: s.id))
