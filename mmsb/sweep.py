"""A sweep: what happens once before its runs start, and once after the last of them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from glob import escape, glob
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from mmsb.budget import BEGAN, SWEEP
from mmsb.cli import ERROR_FILE, EXIT_STOPPED, STOPPED_FILE, TOLD, end_interrupted, private
from mmsb.console import say, show, tell
from mmsb.digest import digest, digest_file
from mmsb.errors import TrackingError
from mmsb.gpus import SWEEPS, visible_gpus
from mmsb.interrupts import terminated_as_interrupted, twice_ends_now
from mmsb.unread import may_stay_unread

if TYPE_CHECKING:
    from mmsb.report.finished import Finished
    from mmsb.tracker.base import Tracker
    from mmsb.withholding import Withhold

COUNT_VARIABLE = "MMSB_SWEEP_RUNS"  # how many runs there will be
SWEPT_VARIABLE = "MMSB_SWEPT"  # the keys that differ between the runs: their names are made of these
TEXT_BYTES = 1_000_000  # of the longest file that may hold a defense's texts; weights are larger
_trackers: dict[str, Tracker] = {}  # of the sweeps that this process began


class SweepCallback(Callback):
    """Tells the runs of a sweep where it lies, and prepares the tracker before any of them starts."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Runs in the main process; what it puts into the environment reaches the workers."""
        from mmsb.bill import keep_plan
        from mmsb.config import TARGET_PACKAGES, build
        from mmsb.tracker.base import Sweep, Tracker

        if "tracker" not in config:  # a command that makes no runs, asked several times
            return
        folder = Path(config.hydra.sweep.dir).absolute()
        os.environ[SWEEP] = str(folder)
        axes = _axes(config)
        # Now: submitit's workers start with none visible, and cannot ask.
        os.environ[SWEEPS] = ",".join(visible_gpus())
        os.environ[SWEPT_VARIABLE] = ",".join(axes)
        if config.hydra.runtime.choices.get("hydra/sweeper") == "basic":  # others decide on their way how many
            os.environ[COUNT_VARIABLE] = str(math.prod(axes.values()))
        packages = (*TARGET_PACKAGES, *config.trusted_packages)
        tracker: Tracker = build(config.tracker, Tracker, packages)  # type: ignore[type-abstract]
        _trackers[str(folder)] = tracker
        name = config.hydra.runtime.choices.get("experiment") or "sweep"
        count = os.environ.get(COUNT_VARIABLE)
        sweep = Sweep(folder, name, identity(config), int(count) if count else None)
        sweep.save()
        sweep.made_up_for()  # begun again in a folder that was named: all its runs are recorded now
        keep_plan(folder)
        try:
            tracker.open_sweep(sweep)
        except TrackingError as error:  # the runs go on, and are logged on their own if that works by then
            sweep.miss(error)
            show(error)


def _axes(config: DictConfig) -> dict[str, int]:
    """The keys that take several values in this sweep, and how many: what is typed goes before an experiment's file."""
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    # It knows what a glob of options meets.
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    found = {}
    for override in parser.parse_overrides([*params, *config.hydra.overrides.task]):
        key = str(override.key_or_group)
        if override.is_sweep_override():
            found[key] = len(list(override.sweep_string_iterator()))
        elif key in found:
            found[key] = 1
    return found


def identity(config: DictConfig) -> str:
    """Digest of what a sweep asks for: every setting, and every value of those that are swept."""
    from mmsb.run import NOT_MEASURED, PACE, measured

    values = OmegaConf.to_container(config)
    assert isinstance(values, dict)
    asked = measured({str(key): value for key, value in values.items() if key != "hydra"})
    params = OmegaConf.to_container(config.hydra.sweeper.get("params") or OmegaConf.create())
    keys = {item: item.lstrip("+~").partition("=")[0].split(".") for item in config.hydra.overrides.task}
    # Where it lies and who launches it is no part of it; what is swept in Hydra's part stands in `params`.
    passed = (*NOT_MEASURED, "hydra")
    typed = [item for item, key in keys.items() if not (key[0].startswith(passed) or key[-1] in PACE)]
    return digest([asked, params, sorted(typed), *_texts([asked, params, [item.partition("=")[2] for item in typed]])])


def _texts(value: Any) -> Iterator[str]:
    """Digests of the texts that settings name by their file or folder: one that was edited makes another sweep."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
    elif isinstance(value, str):
        for name in value.split(","):
            files = sorted(glob(f"{escape(name)}/*.txt")) if os.path.isdir(name) else [name]
            yield from (digest_file(Path(file)) for file in files if _is_text(file))


def _is_text(name: str) -> bool:
    return os.path.isfile(name) and os.path.getsize(name) <= TEXT_BYTES


def _end() -> Path | None:
    """The folder of the sweep that this process began, if it did: it is none from here on."""
    name = os.environ.pop(SWEEP, None)
    for variable in (SWEPT_VARIABLE, COUNT_VARIABLE, SWEEPS):
        os.environ.pop(variable, None)
    return Path(name) if name else None


def leave_sweep() -> None:
    """Say the bill of a sweep that was interrupted, if this was one, and end its record: its table needs all runs."""
    if folder := _end():
        _leave(folder)


@private()
def _leave(folder: Path) -> None:
    from mmsb.run import FILE as RUN_FILE
    from mmsb.tracker.base import Sweep

    if any(folder.glob(f"*/{RUN_FILE}")):
        say(f"Some runs are finished: python -m mmsb.report {quote(f'runs={folder}')} shows them.")
    _bill(folder)
    tracker, sweep = _trackers.pop(str(folder), None), Sweep.at(folder)
    try:
        if tracker and sweep:
            tracker.leave_sweep(sweep)
    except TrackingError as error:
        if sweep and sweep.miss(error):
            show(error)


def finish_sweep(code: int = 0) -> int:
    """Print the comparison of a sweep's runs, if this was a sweep.

    Args:
        code: with which the command would end without it; not 0, the sweep did not come to its end.

    Returns:
        1 if one of its runs did not finish or had samples that failed, 3 if the budget stopped one, 130 if this was
        interrupted, else `code`.
    """
    if (folder := _end()) is None:
        return code
    # The command has ended, and this takes seconds: the page of many runs, their record.
    with may_stay_unread(), twice_ends_now() as listener, terminated_as_interrupted():
        try:
            return _finish(folder, code)
        except KeyboardInterrupt:
            return end_interrupted(listener, partial(_leave, folder))


@private()
def _finish(folder: Path, code: int) -> int:
    from mmsb.comparable import sentence_of_all
    from mmsb.report.finished import finished_runs
    from mmsb.report.judge_error import warning
    from mmsb.report.tradeoff import print_sweep

    runs, written = finished_runs(folder), None
    if runs:
        for line in filter(None, dict.fromkeys(warning(run.values["config"].get("judge")) for run in runs)):
            tell(line)
        print_sweep(runs)
        tell(sentence_of_all([run.values["record"]["comparable"] for run in runs]))
        written = _show_page(runs, folder)
        print(f"runs: {folder}")
    # From the disk and not from memory: runs may have ended in processes of a launcher, or on other machines.
    errors = sorted(folder.glob(f"*/{ERROR_FILE}"), key=_number)
    if errors and runs:
        say(f"these runs ended with an error: {_numbers(errors)}; {folder}/RUN/{ERROR_FILE} says which")
    for told in folder.glob(f"{TOLD}*"):
        told.unlink(missing_ok=True)
    stopped = sorted(folder.glob(f"*/{STOPPED_FILE}"), key=_number)
    if stopped:
        say(f"stopped by the budget, and not in the table: {_numbers(stopped)}")
    _bill(folder)
    # Last: what it links to (page, bill) must be there when somebody follows the link.
    _close(folder, runs, not (errors or stopped or code), written)
    return 1 if errors else EXIT_STOPPED if stopped else code


def _bill(folder: Path) -> None:
    from mmsb.bill import show_bill

    began = os.environ.get(BEGAN)
    show_bill(sorted(folder.glob("*/")), time.time() - float(began) if began else None)


def _show_page(runs: Sequence[Finished], folder: Path) -> Withhold | None:
    """Write the sweep's page, as the runs say what it withholds, and return that; None: there is no page."""
    from mmsb.report.page import write_page
    from mmsb.report.shared import packages, withheld

    withhold = withheld(runs)
    try:
        page = write_page(runs, folder, withhold, packages=packages(runs))
    except Exception as error:  # whatever it is: the runs are finished, and their page can be made again
        say(f"warning: no page could be written: {type(error).__name__}: {error}")
        say(f"Try again: python -m mmsb.report {quote(f'runs={folder}')} withhold={withhold}")
        return None
    print(f"page: {page.absolute().as_uri()}")
    return withhold


def _close(folder: Path, runs: Sequence[Finished], finished: bool, written: Withhold | None) -> None:
    from mmsb.report.shared import page_of
    from mmsb.tracker.base import Sweep

    tracker, sweep = _trackers.get(str(folder)), Sweep.at(folder)
    # The tracker gets the page that was written, or none: an old one would show other runs.
    page = page_of(runs, folder, written)
    try:
        if tracker and sweep and (line := tracker.close_sweep(sweep, runs, finished, page)) and runs:
            say(line)
        missed = sweep.missed() if sweep else None
    except TrackingError as error:
        missed = error
    if missed:
        say("not all of this sweep is recorded:")
        show(missed)
    _trackers.pop(str(folder), None)  # only now: interrupted meanwhile, it still has to end its record


def _number(path: Path) -> int:
    return int(path.parent.name)


def _numbers(paths: list[Path]) -> str:
    return ", ".join(path.parent.name for path in paths)
