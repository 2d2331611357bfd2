"""The preflight of judging finished answers again: what the judge will be asked, said before it is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig

from mmsb.config import TARGET_PACKAGES, build
from mmsb.defense.base import Caller
from mmsb.digest import digest
from mmsb.error_messages import ERRORS, readable
from mmsb.errors import ConfigError, MmsbError, StoreError
from mmsb.flow import Flow, Unanswered
from mmsb.hydra_app import Planned
from mmsb.judge.base import Judge, judged
from mmsb.judge.rejudge import Rejudge
from mmsb.pipeline import each
from mmsb.preflight.calls import Calls
from mmsb.preflight.confirm import agreed, spent_before
from mmsb.preflight.counting import AT_A_TIME, Counting
from mmsb.preflight.job import names
from mmsb.preflight.parts import without_hydra
from mmsb.preflight.plan import plan
from mmsb.preflight.problems import Problems
from mmsb.spending import check_budget

T = TypeVar("T")
Work = Callable[[T, Judge, Caller], Coroutine[Any, Any, Any]]


@dataclass(kw_only=True)
class OfJudge(Counting):
    """A judge that is asked about answers that are there: nothing else leads to its calls."""

    @property
    def judge(self) -> Judge:
        """Which one."""
        raise NotImplementedError

    def rehearse(self, items: Iterable[T], begin: Callable[[Flow, T], None], work: Work[T]) -> None:
        """Have every item judged with what is stored, and with stand-ins.

        Args:
            items: all that there are.
            begin: takes down the calls of an item's flow from here on.
            work: has the judge asked about an item.
        """
        caller = self._caller(self._look)

        async def flow_of(item: T) -> Calls:
            begin(flow := Flow.current(), item)
            try:
                await work(item, self._judge(self.judge, flow), caller)
            except StoreError:  # what cannot be read would look as if all were answered
                raise
            except (MmsbError, Unanswered, ValueError) as error:  # a stand-in is no sensible reply
                self.unsure.add(f"calls after {type(error).__name__}")
            return self._mine.pop(flow)

        for calls in each(islice(items, 0, None, self.every), nullcontext(flow_of), AT_A_TIME):
            self.steps.add(calls.steps)

    def _whose(self, flow: Flow, role: str | None) -> str:
        return self.judging

    @cached_property
    def judging(self) -> str:
        """Its fingerprint, in short."""
        return digest(dict(self.judge.fingerprint()))


@dataclass(kw_only=True)
class Judging(OfJudge):
    """Judging finished answers once.

    Attributes:
        settings: which answers, and by whom.
    """

    settings: Rejudge

    @property
    def judge(self) -> Judge:
        """The settings' own."""
        return self.settings.judge

    def run(self) -> None:
        """Have every answer judged."""
        self.rehearse(
            self.settings.finished.answers(),
            lambda flow, answered: self._opened(flow, answered[0]),
            lambda answered, judge, caller: judged(judge, *answered, caller),
        )


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
    return agreed(config, planned, first.budget, spent, "mmsb.judge", len(runs))


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
