"""The preflight of a calibration: what the judge will be asked about the labelled answers, said before it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from mmsb.bill import PLAN
from mmsb.budget import spent_in
from mmsb.calibrate.asking import as_answer, purse
from mmsb.calibrate.calibration import Calibration
from mmsb.config import TARGET_PACKAGES, build
from mmsb.errors import ConfigError
from mmsb.flow import Flow
from mmsb.hydra_app import Planned
from mmsb.judge.base import Judge, of_all_parts
from mmsb.labels.file import Labelled
from mmsb.model.base import engines_in
from mmsb.pipeline import BLOCK
from mmsb.preflight.calls import Calls
from mmsb.preflight.confirm import agreed
from mmsb.preflight.judging import OfJudge
from mmsb.preflight.parts import without_hydra
from mmsb.preflight.plan import plan
from mmsb.spending import check_budget


@dataclass(kw_only=True)
class Reading(OfJudge):
    """One judge, asked about every labelled answer.

    Attributes:
        settings: which answers, and by whom.
    """

    settings: Calibration

    @property
    def judge(self) -> Judge:
        """The one that is asked."""
        return self.settings.asked

    def run(self) -> None:
        """Have every answer judged; where labels were drawn from a run, its own verdicts are compared."""
        if self.settings.own:
            return

        def begin(flow: Flow, item: Labelled) -> None:
            self._mine[flow] = Calls(block=next(self._numbers) // BLOCK, question=item.id)

        self.rehearse(
            self.settings.items, begin, lambda item, judge, caller: of_all_parts(judge, as_answer(item), caller)
        )


def preflight(config: DictConfig, runs: Sequence[Planned]) -> bool:
    """Build all, say what they will take, have it confirmed.

    Returns:
        Whether to start them: not in a dry run.

    Raises:
        MmsbError: one cannot be done.
    """
    built = [_built(run) for run in runs]
    asking = [one for one in built if not one.own and any(engines_in(one.asked))]
    first = (asking or built)[0]
    if len(asking) > 1 and first.budget.limited:
        raise ConfigError(
            f"a budget is kept by one calibration, and this command has {len(asking)} that ask",
            "Run them one by one, each with its own.",
        )
    rehearsed = [(one, 0 if one.own else len(one.items)) for one in built]
    planned = plan(rehearsed, lambda one, _, **shared: Reading(settings=one, **shared))
    spent = spent_in(purse(first.asked, first.items, first.output_dir))
    start = agreed(config, planned, first.budget, spent, "mmsb.calibrate", len(runs))
    if len(asking) > 1:  # each has a bill of its own, and this plan is of all
        os.environ.pop(PLAN, None)
    return start


def _built(run: Planned) -> Calibration:
    """The settings.

    Raises:
        MmsbError: the labels, the run and the judge do not go together, or the budget cannot be kept.
    """
    config = without_hydra(run.compose())
    settings: Calibration = build(config, Calibration, (*TARGET_PACKAGES, *config.trusted_packages))
    settings.refuse_another_judge()
    if not settings.own:
        check_budget(settings.budget, settings.prices, settings.asked)
    return settings
