"""A sweep: what happens once before its runs start, and once after the last of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mmsb.cli import ERROR_FILE, say, show
from mmsb.errors import TrackingError

if TYPE_CHECKING:
    from mmsb.tracker.base import Tracker

SWEEP_VARIABLE = "MMSB_SWEEP_DIR"
SWEPT_VARIABLE = "MMSB_SWEPT"  # the keys that differ between the runs: their names are made of these
_trackers: dict[str, Tracker] = {}  # of the sweeps that this process began


class SweepCallback(Callback):
    """Tells the runs of a sweep where it lies, and prepares the tracker before any of them starts."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Runs in the main process; what it puts into the environment reaches the workers."""
        from mmsb.config import build
        from mmsb.tracker.base import Tracker

        folder = Path(config.hydra.sweep.dir).absolute()
        os.environ[SWEEP_VARIABLE] = str(folder)
        os.environ[SWEPT_VARIABLE] = ",".join(_swept(config))
        tracker: Tracker = build(config.tracker, Tracker)  # type: ignore[type-abstract]
        _trackers[str(folder)] = tracker
        try:
            os.environ.update(tracker.open_sweep(folder, config.hydra.runtime.choices.get("experiment") or "sweep"))
        except TrackingError as error:  # the runs go on, and are logged on their own if that works by then
            show(error)


def _swept(config: DictConfig) -> list[str]:
    """The keys that take several values in this sweep, from the command line and from an experiment's file."""
    overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    typed = [str(override.key_or_group) for override in overrides if override.is_sweep_override()]
    return [*typed, *(str(key) for key in config.hydra.sweeper.params or {} if str(key) not in typed)]


def finish_sweep() -> int:
    """Print the comparison of a sweep's runs, if this was a sweep.

    Returns:
        1 if one of its runs did not finish or had samples that failed, else 0.
    """
    name = os.environ.pop(SWEEP_VARIABLE, None)
    os.environ.pop(SWEPT_VARIABLE, None)
    if name is None:
        return 0
    from mmsb.report.finished import finished_runs
    from mmsb.report.judge_error import warning
    from mmsb.report.tradeoff import print_sweep

    folder = Path(name)
    runs = finished_runs(folder)
    if runs:
        for line in dict.fromkeys(warning(run.values["choices"].get("judge")) for run in runs):
            print(line or "", end="\n" if line else "")
        print_sweep(runs, folder)
        print(f"runs: {folder}")
    errors = sorted(folder.glob(f"*/{ERROR_FILE}"), key=_number)
    if errors and runs:
        say(f"{len(errors)} runs had errors; {folder}/RUN/{ERROR_FILE} says which: {_numbers(errors)}")
    _close(folder, [dict(run.values) for run in runs], finished=not errors)
    return 1 if errors else 0


def _close(folder: Path, runs: list[dict[str, Any]], finished: bool) -> None:
    tracker = _trackers.pop(str(folder), None)
    try:
        if tracker and (line := tracker.close_sweep(folder, runs, finished)) and runs:
            say(line)
    except TrackingError as error:
        show(error)


def _number(path: Path) -> int:
    return int(path.parent.name)


def _numbers(paths: list[Path]) -> str:
    return ", ".join(path.parent.name for path in paths)
