"""One run from the command line: from a composed configuration to printed, recorded results."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mmsb.bill import PLAN_FILE, keep_plan, show_bill
from mmsb.budget import SWEEP, BudgetReached
from mmsb.config import TARGET_PACKAGES, build
from mmsb.console import say, show, tell
from mmsb.errors import TrackingError
from mmsb.experiment import Experiment, evaluate
from mmsb.gpus import claim
from mmsb.metrics.summary import Summary
from mmsb.model.base import Batched, engines_in
from mmsb.notes import Notes
from mmsb.report import judge_error, members
from mmsb.results import FILE
from mmsb.run import NOT_MEASURED, Run, SavedRun
from mmsb.scenario import Scenario
from mmsb.sweep import COUNT_VARIABLE, SWEPT_VARIABLE
from mmsb.terminal import print_line, print_summary
from mmsb.tracker.base import Sweep, Tracker
from mmsb.types import Sample

SPEED = ("model.api_key_env", "model.concurrency", "model.requests_per_second", "model.timeout", "model.device")
UNNAMED = ("experiment=", "hydra.", *NOT_MEASURED, *SPEED)  # by what changes no result nobody looks for a run
NAMED = ("dataset", "model", "image_mode", "defense", "judge")


def run_once(config: DictConfig) -> None:
    """Evaluate, print, track.

    Raises:
        MmsbError: what made the whole run impossible; or, at the end, that some samples failed.
    """
    with billed():
        experiment, run, summary, notes = measured(config)
        report(run, summary, notes, experiment.scenarios)
        if blind := without_effect(experiment):  # a sweep's table says "no-op"
            say(f"{', '.join(blind)} did nothing: without pictures every prompt reached the model as it is.")
        record(experiment.tracker, run, experiment.samples())
        if failed := notes.failed(run.folder):
            raise failed


@contextmanager
def billed() -> Iterator[None]:
    """Leave the plan in the folder of the run that Hydra began, and say its bill at the end; a sweep has one bill.

    A run that ended with an error before it was answered anything leaves no folder.
    """
    started, folder = time.monotonic(), Path(HydraConfig.get().runtime.output_dir)
    alone = not os.environ.get(SWEEP)
    if alone:
        keep_plan(folder)
    try:
        yield
    except BudgetReached:  # what goes on from there is told by its folder
        raise
    except Exception:
        if alone:
            _leave_nothing(folder)
        raise
    finally:  # also of a run that was stopped: that is when one wants to know
        if alone:
            show_bill([folder], time.monotonic() - started)


def _leave_nothing(folder: Path) -> None:
    """Remove a run's folder that holds only what every start leaves there."""
    # A folder that somebody named is theirs.
    if any(item.startswith("hydra.run.dir=") for item in HydraConfig.get().overrides.hydra):
        return
    inside = {path.name for path in folder.iterdir() if path.is_dir() or path.stat().st_size}
    if inside <= {str(HydraConfig.get().output_subdir), PLAN_FILE}:
        shutil.rmtree(folder, ignore_errors=True)


def measured(config: DictConfig) -> tuple[Experiment, Run, Summary, Notes]:
    """Build what the configuration describes, and evaluate it.

    Raises:
        MmsbError: what made the whole run impossible.
    """
    experiment = build(config, Experiment, (*TARGET_PACKAGES, *config.trusted_packages))
    take_place(experiment)
    run = describe(config)
    # Of ten thousand torn pictures one is enough.
    with warnings.catch_warnings():
        warnings.simplefilter("once")
        return experiment, run, *evaluate(experiment, run)


def without_effect(experiment: Experiment) -> list[str]:
    """The defenses that only do something to pictures, where none are shown."""
    if experiment.image_mode.image is not None:
        return []
    return [name for name, defense in experiment.defense.items() if getattr(defense, "NEEDS_PICTURE", False)]


def record(tracker: Tracker, run: Run, asked: Iterable[Sample]) -> None:
    """Have the tracker record a finished run; what it cannot do is said, once for a sweep, and costs nothing."""
    try:
        if line := tracker.log(SavedRun.open(run.folder), asked):
            say(line)
    # The run is finished and its files are whole; its record can be made again.
    except TrackingError as error:
        sweep = Sweep.at(run.sweep) if run.sweep else None
        if sweep is None or sweep.miss(error):
            show(error)


def take_place(experiment: Experiment) -> None:
    """Have a GPU of its own where runs of a sweep go on side by side; Ray and Slurm see to it themselves.

    Raises:
        ConfigError: there are more runs at a time than GPUs.
    """
    launcher = HydraConfig.get().runtime.choices.get("hydra/launcher")
    local = any(isinstance(engine, Batched) or getattr(engine, "serve", False) for engine in engines_in(experiment))
    if local and launcher in ("joblib", "submitit_local"):
        claim(wait=launcher == "submitit_local")


def describe(config: DictConfig) -> Run:
    """Name and place of the run, from Hydra."""
    hydra = HydraConfig.get()
    choices = {k: str(v) for k, v in hydra.runtime.choices.items() if v and not k.startswith("hydra/")}
    values = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))
    sweep = os.environ.get(SWEEP)
    defenses = list(values.get("defense") or {})
    # Hydra's choice for a list is its text with brackets and quotes; tables want the order in words. And none is chosen
    # where a setting names the class of one.
    if len(defenses) > 1 or (defenses and "defense" not in choices):
        choices["defense"] = " > ".join(defenses)  # in their order: the first sees the request first
    name = _name(list(hydra.overrides.task), choices)
    folder, place = Path(hydra.runtime.output_dir), ""
    if sweep and (count := os.environ.get(COUNT_VARIABLE)):
        place = f"[{hydra.job.num + 1}/{count}]"
    return Run(name, folder, choices, values, sweep=Path(sweep) if sweep else None, place=place)


def _name(overrides: list[str], choices: dict[str, str]) -> str:
    """In a sweep, what differs between its runs; else what was asked for, or the defaults."""
    if swept := os.environ.get(SWEPT_VARIABLE):
        told = [item for item in overrides if item.partition("=")[0].lstrip("+") in swept.split(",")]
    else:
        told = [item for item in overrides if not item.startswith(UNNAMED)]
    told = told or [f"{group}={choices[group]}" for group in NAMED if group in choices]
    return " ".join(map(_ordered, told))


def _ordered(setting: str) -> str:
    """Several defenses as what they are, one behind the other: "defense=[a,b]" is "defense=a>b", in one word."""
    group, _, value = setting.partition("=")
    if group != "defense" or not value:
        return setting
    return f"{group}={value.strip('[]').replace(' ', '').replace(',', '>')}"


def print_judged(run: Run, summary: Summary, notes: Notes, scenarios: Sequence[Scenario]) -> None:
    """The run's table, after what its judge cannot know and before what its published errors do to it."""
    judge = run.choices.get("judge")
    if line := judge_error.warning(run.config.get("judge")):
        tell(line)
    print_summary(run, summary)
    for line in members.told(run, scenarios):
        tell(line)
    for line in notes.odd():
        tell(line)
    if line := judge_error.told(judge_error.corrected(judge, summary, scenarios), str(judge), notes.abroad):
        tell(line)


def report(run: Run, summary: Summary, notes: Notes, scenarios: Sequence[Scenario]) -> None:
    """Print what came out and where it lies; in a sweep one line, since the comparison follows."""
    total, asked = int(summary.metrics["n/total"]), run.record["asked"]
    if run.sweep:
        print_line(run, summary)
        for line in notes.odd():
            tell(f"  {line}")
    else:
        print_judged(run, summary, notes, scenarios)
        print(f"results: {run.folder / FILE}")
        if asked == 0:
            say(f"Nothing was asked: all {total} answers were in the store already.")
