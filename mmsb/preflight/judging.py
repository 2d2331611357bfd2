"""The preflight of judging finished answers again: what the judge will be asked, said before it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from omegaconf import DictConfig

from mmsb.budget import announce
from mmsb.config import TARGET_PACKAGES, build
from mmsb.console import say, tell
from mmsb.error_messages import ERRORS, readable
from mmsb.errors import ConfigError, MmsbError
from mmsb.flow import Flow, Unanswered
from mmsb.hydra_app import Planned
from mmsb.judge.base import judged
from mmsb.judge.rejudge import Rejudge
from mmsb.pipeline import each
from mmsb.preflight.confirm import beyond, confirm, spent_before
from mmsb.preflight.counting import AT_A_TIME, Calls, Counting
from mmsb.preflight.job import names
from mmsb.preflight.parts import without_hydra
from mmsb.preflight.plan import plan
from mmsb.preflight.problems import Problems
from mmsb.spending import check_budget
from mmsb.types import Outcome, Sample


@dataclass(kw_only=True)
class Judging(Counting):
    """Judging finished answers once.

    Attributes:
        settings: which answers, and by whom.
    """

    settings: Rejudge

    def run(self) -> None:
        """Have every answer judged with what is stored, and with stand-ins."""
        caller = self._caller(self._look)

        async def flow_of(answered: tuple[Sample, Outcome]) -> Calls:
            self._opened(flow := Flow.current(), answered[0])
            try:
                await judged(self.settings.judge, *answered, caller)
            except (MmsbError, Unanswered, ValueError) as error:  # a stand-in is no sensible reply
                self.unsure.add(f"calls after {type(error).__name__}")
            return self._mine.pop(flow)

        chosen = islice(self.settings.finished.answers(), 0, None, self.every)
        for _ in each(chosen, nullcontext(flow_of), AT_A_TIME):
            pass
        for name, tally in self._tallies.items():
            self._left[name] = float(tally.left), float(tally.left)


def preflight(config: DictConfig, runs: Sequence[Planned]) -> bool:
    """Build all, say what they will take, have it confirmed.

    Returns:
        Whether to start them: not in a dry run.

    Raises:
        MmsbError: some cannot be done; equal errors are one. Nothing was written.
    """
    named = names(runs)
    problems, built = Problems(named), list[tuple[Rejudge, int]]()
    for run, name in zip(runs, named, strict=True):
        try:
            built.append(_built(run))
        except ERRORS as error:
            problems.add([readable(error, run.overrides)], name)
    problems.tell()
    planned = plan(built, lambda settings, _, **shared: Judging(settings=settings, **shared))
    first = built[0][0]
    spent = spent_before(config, first.output_dir, first.finished.about["config"])
    told = [*planned.told(len(runs)), *beyond(planned, first.budget, spent)]
    if config.dry_run:
        tell("\n".join(["dry run: nothing is written", *told]))
        return False
    if planned.asked:
        say("\n".join(told))
    planned.expected.announce()
    confirm(planned, first.budget)
    announce("mmsb.judge")
    return True


def _built(run: Planned) -> tuple[Rejudge, int]:
    """The settings, and how many answers there are.

    Raises:
        ConfigError: the new run would be written over the one that is judged.
    """
    composed = run.compose()
    config = without_hydra(composed)
    settings: Rejudge = build(config, Rejudge, (*TARGET_PACKAGES, *config.trusted_packages))
    # Here, since Hydra writes into the folder before the command has its first word.
    if settings.run is not None and settings.run.resolve() == Path(composed.hydra.run.dir).resolve():
        raise ConfigError(
            f"run={settings.run} would be overwritten by its own judging again",
            "Give the new run another folder: leave hydra.run.dir out, or name another.",
        )
    check_budget(settings.budget, settings.prices, settings)
    return settings, int(settings.finished.about["record"]["dataset"]["samples"])
