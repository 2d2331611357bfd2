"""The preflight: compose, build and check all runs, say what they take, and let them start or not."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from omegaconf import DictConfig

from mmsb.budget import announce
from mmsb.console import say, tell
from mmsb.errors import MmsbError
from mmsb.experiment import Experiment
from mmsb.hydra_app import Planned
from mmsb.model.base import Engine, engines_in
from mmsb.model.local import Local
from mmsb.model.memory_check import needed
from mmsb.preflight.bounds import Bounds
from mmsb.preflight.checks import Checks
from mmsb.preflight.confirm import beyond, confirm, spent_before
from mmsb.preflight.launching import launching
from mmsb.preflight.memory import batches_fit
from mmsb.preflight.occupied import refuse_occupied
from mmsb.preflight.parts import Cell, cell
from mmsb.preflight.plan import Plan, plan
from mmsb.preflight.problems import Problems
from mmsb.preflight.rehearsal import Rehearsal
from mmsb.spending import check_budget
from mmsb.tracker.none import NoTracker

# What runs take beside their calls, in times of what composing and checking them takes: measured, 1 to 12 runs.
BESIDE, TRACKED = 4.0, 6.0
MLFLOW = 5.0  # seconds that it takes to start
TORCH = 5.0  # likewise, with transformers
READ = 1e9  # bytes of weights that are read in a second


def preflight(config: DictConfig, runs: Sequence[Planned]) -> bool:
    """Check all runs.

    Args:
        config: composed for the command: what its runs share.
        runs: each of them.

    Returns:
        Whether to start them: not in a dry run.

    Raises:
        MmsbError: some cannot be run; equal errors are one. Nothing was written. A plan of the others was told, where
            that was asked for or a server alone is at fault.
    """
    began = time.monotonic()
    cells, dry = [cell(run, name) for run, name in zip(runs, names(runs), strict=True)], bool(config.dry_run)
    checks = Checks(cells)
    checks.run()
    for error in launching(config):
        for one in cells:
            one.errors.append(error)
    took = time.monotonic() - began
    sound = {place: one for place, one in enumerate(cells) if not one.errors}
    for one in cells:
        one.errors.extend(_over_budget(one))
    # What costs nothing first: no server is asked while a folder is still missing.
    if not dry:
        refuse(cells)
        refuse_occupied(config, cells[0].experiment.defense if cells[0].experiment else {})
    # A single run asks its endpoint a moment later itself.
    if (dry or len(cells) > 1) and not any(one.errors for one in cells):
        checks.probe()
    planned = made(sound, checks.samples)
    plain = all(isinstance(one.experiment.tracker, NoTracker) for one in cells if one.experiment)
    planned.beside = took * BESIDE if plain else took * TRACKED + MLFLOW
    planned.beside += loading([line.engine for line in planned.asked])
    told = [*planned.told(len(cells)), *_memory(sound.values(), planned), *_beyond(config, cells, planned)]
    if dry:
        tell("\n".join(["dry run: nothing is written", *(told if sound else [])]))
        refuse(cells)
        return False
    if planned.asked:
        say("\n".join(told))
    refuse(cells)
    # Before a question to a person, so that what starts afterwards has it, in whatever process.
    planned.expected.announce()
    confirm(planned, next(one.experiment.budget for one in cells if one.experiment))
    announce("mmsb")
    return True


def loading(engines: Sequence[Engine]) -> float:
    """Seconds until the local models among them can answer."""
    weights = [needed(engine) or 0.0 for engine in engines if isinstance(engine, Local)]
    return TORCH + sum(weights) / READ if weights else 0.0


def made(cells: Mapping[int, Cell], samples: Mapping[int, int]) -> Plan:
    """The plan of runs with which nothing is wrong, as far as that can be seen without asking a server."""
    runs = [(one.experiment, samples[place]) for place, one in cells.items() if one.experiment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the store and the fonts: the run itself says it
        return plan(runs, partial(rehearsed, bounds=Bounds()))


def rehearsed(experiment: Experiment, samples: int, **shared: Any) -> Rehearsal:
    """The rehearsal of one run, with what all share."""
    return Rehearsal(experiment=experiment, samples=samples, **shared)


def _memory(cells: Iterable[Cell], planned: Plan) -> list[str]:
    """What is said of batches that will not fit; where not even one prompt does, the run cannot start."""
    lines, said = {repr(line.engine): line for line in planned.asked}, dict[str, None]()
    for one in cells:
        for found in batches_fit(list(engines_in(one.experiment)), one.launcher, lines) if one.experiment else ():
            if isinstance(found, MmsbError):
                one.errors.append(found)
            else:
                said[f"  {found}"] = None
    return list(said)


def _beyond(config: DictConfig, cells: Sequence[Cell], planned: Plan) -> list[str]:
    """That a limit will stop them, with what earlier tries of this command have spent of it."""
    first = cells[0].experiment
    if first is None or any(one.errors for one in cells):
        return []
    return beyond(planned, first.budget, spent_before(config, first.output_dir))


def _over_budget(one: Cell) -> Iterator[MmsbError]:
    """That the budget cannot be kept: for want of a price, say."""
    if one.experiment is not None and (one.whole or one.experiment.prices):  # else the prices are what is wrong
        try:
            check_budget(one.experiment.budget, one.experiment.prices, one.experiment)
        except MmsbError as error:
            yield error


def refuse(cells: Sequence[Cell]) -> None:
    """Stop where something is wrong with any run.

    Raises:
        MmsbError: everything that is, each thing once.
    """
    problems = Problems([one.name for one in cells])
    for one in cells:
        problems.add(one.errors, one.name)
    problems.tell()


def names(runs: Sequence[Planned]) -> list[str]:
    """What tells each run from the others: its arguments that not all have."""
    shared = set.intersection(*(set(run.overrides) for run in runs)) if len(runs) > 1 else set()
    return [" ".join(item for item in run.overrides if item not in shared) for run in runs]
