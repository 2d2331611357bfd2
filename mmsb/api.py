"""mmsb from Python: the same runs as from the command line, their results as data frames.

    import mmsb

    plain = mmsb.evaluate(model="tiny", image_mode="typo")
    defended = mmsb.evaluate(model="tiny", image_mode="typo", defense="safety_prompt")
    mmsb.rates([plain, defended])    # every rate with its 95 % interval
    mmsb.samples([plain, defended])  # what was asked, shown, answered, and who judged it

A run made here is composed, checked, stored, recorded and resumed exactly as by the command: comparisons, the page and
MLflow take both.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import shlex
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmsb.bill import PLAN
from mmsb.budget import BEGAN, COMMAND
from mmsb.cli import leave_why, private, raising
from mmsb.command import billed, measured, record
from mmsb.error_messages import ERRORS, readable
from mmsb.errors import ConfigError
from mmsb.export.rows import values_of
from mmsb.hydra_app import parse, run_hydra
from mmsb.metrics import declared
from mmsb.override_rules import ONE
from mmsb.preflight.job import preflight
from mmsb.report.columns import FACETS, Column, columns
from mmsb.report.finished import Finished, finished_run
from mmsb.secret import refuse_secrets

if TYPE_CHECKING:
    import pandas
    from omegaconf import DictConfig

T = TypeVar("T")
Chosen = str | Sequence[str] | None
ENDS = {"low": "_low", "high": "_high", "least": "_least", "most": "_most"}


def evaluate(
    *,
    dataset: Chosen = None,
    scenario: Chosen = None,
    image_mode: Chosen = None,
    model: Chosen = None,
    judge: Chosen = None,
    defense: Chosen = None,
    tracker: Chosen = None,
    settings: Mapping[str, object] | None = None,
    config_dir: Path | str | None = None,
) -> Finished:
    """Evaluate one model in one image mode, as `python -m mmsb GROUP=OPTION ... KEY=VALUE ...` would.

    Called again with the same arguments, it asks the model only what is not answered yet. The plan, what is asked to be
    confirmed, and the bill are those of the command.

    Args:
        dataset: an option of that group, as in the command; None leaves the command's default.
        scenario: one, or a list of several.
        image_mode: "text_only", "sd", "typo" or "sd_typo".
        model: the system that is measured.
        judge: who reads its answers.
        defense: one, or a list of several, applied in that order.
        tracker: "mlflow" or "none".
        settings: any other setting by its full key: `{"model.temperature": 0.2, "output_dir": "results"}`.
        config_dir: a folder with groups of your own.

    Returns:
        The finished run: its `folder`, its flat `metrics`, and `rate("asr/macro")` with a 95 % interval.

    Raises:
        MmsbError: what makes the run as a whole impossible; it names the value, what is allowed, and what to do.
        BudgetReached: `budget.money`, `budget.calls` or `budget.time` is spent; what was answered is stored, and the
            same call with more goes on.

    Warns:
        UserWarning: some samples failed. They are in no rate; the same call asks only them again.
    """
    chosen = {
        "dataset": dataset,
        "scenario": scenario,
        "image_mode": image_mode,
        "model": model,
        "judge": judge,
        "defense": defense,
        "tracker": tracker,
    }
    for group, value in chosen.items():
        # Hydra would merge a list of options into one, and the number that came out would look right.
        if group in ONE and not isinstance(value, str | None):
            raise ConfigError(f"{group}={value!r}: one option is meant", "Call evaluate once for each.")
    # Not merged: a group in both would be taken from one of them, and which is nowhere to be seen.
    given = [*((key, value) for key, value in chosen.items() if value is not None), *(settings or {}).items()]
    words = [f"{key}={written(value)}" for key, value in given]
    if config_dir is not None:
        words += ["--config-dir", str(config_dir)]
    return _outside_loops(lambda: _evaluated(words))


def open_runs(folders: Path | str | Sequence[Path | str]) -> list[Finished]:
    """The finished runs in folders, each that of a run, or of a sweep, which stands for all its runs.

    Raises:
        DataError: a folder holds none, or its rows are not those that its `run.json` was written for.
    """
    given = [folders] if isinstance(folders, Path | str) else folders
    return [column.run for column in columns([Path(folder) for folder in given])]


def rates(runs: Finished | Sequence[Finished]) -> pandas.DataFrame:
    """Every rate of the runs, a row each.

    Returns:
        `run` and what was chosen for it; `metric` and `scope` (a scenario, harm, policy, macro, micro); `value`, with
        its 95 % interval `low` to `high`; `least` and `most` where answers are missing: what the rate would be if none
        of them counted, and if all did.
    """
    import pandas

    found: list[dict[str, Any]] = []
    for column in _named(runs):
        who = {"run": column.label, **column.facets}
        for metric in declared.METRICS:
            for key in column.run.metrics:
                name, _, scope = key.partition("/")
                if name == metric.name and f"{key}_low" in column.run.metrics:
                    ends = {end: column.run.metrics.get(key + suffix) for end, suffix in ENDS.items()}
                    found.append({**who, "metric": name, "scope": scope, "value": column.run.metrics[key], **ends})
    names = ["run", *FACETS, "metric", "scope", "value", *ENDS]
    # A column that is all None would be one of objects, which means and plots refuse.
    return pandas.DataFrame(found, columns=pandas.Index(names)).astype(dict.fromkeys(("value", *ENDS), "float64"))


def samples(runs: Finished | Sequence[Finished]) -> pandas.DataFrame:
    """Every sample of the runs, a row each: what was asked, shown, answered, who judged it and how.

    Returns:
        The columns of `python -m mmsb.export format=csv`, but for the picture's file.
    """
    import pandas

    return pandas.DataFrame([values for column in _named(runs) for values in values_of(column)])


def _named(runs: Finished | Sequence[Finished]) -> list[Column]:
    given = [runs] if isinstance(runs, Finished) else runs
    return columns([run.folder for run in given])


def written(value: object) -> str:
    """A value in the grammar of the command line, so that Hydra reads back the same value, whatever is in it.

    Raises:
        ConfigError: it is nothing that a configuration can hold.
    """
    match value:
        case None | bool() | int() | float():
            return json.dumps(value)
        case str() | Path():
            # OmegaConf would look up what `${...}` names; then Hydra's quotes: a backslash is itself, unless it stands
            # before a quote or at the end.
            literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", str(value))
            parts = literal.split('"')
            doubled = [part + "\\" * (len(part) - len(part.rstrip("\\"))) for part in parts]
            return '"' + '\\"'.join(doubled) + '"'
        case Mapping():
            return "{" + ",".join(f"{key}:{written(inner)}" for key, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(written, value)) + "]"
    raise ConfigError(
        f"{value!r} cannot stand in a configuration",
        "Give texts, numbers, lists or mappings; a class of your own is named in a YAML file of config_dir.",
    )


# Hydra's configuration is the whole process's: two at a time would be taken for each other.
_TURN = threading.Lock()


def _evaluated(words: Sequence[str]) -> Finished:
    folders: list[Path] = []

    def task(config: DictConfig) -> None:
        with billed():
            try:
                experiment, run, _, notes = measured(config)
            except ERRORS as error:
                leave_why(readable(error, words))
                raise
            record(experiment.tracker, run, experiment.samples())
        if failed := notes.failed(run.folder):
            warnings.warn(failed.problem, UserWarning, stacklevel=2)
        folders.append(run.folder)

    with _TURN, private(), raising(), _planned_anew(words):
        try:
            refuse_secrets(words)
            run_hydra(parse(words), "config", task, preflight)
        except ERRORS as error:
            raise readable(error, words) from error
    if not folders:
        raise ConfigError("dry_run=true starts no run that could be given back", "Its plan was printed; leave it out.")
    # Read back from the disk: what Python sees is what the command, the page and MLflow see.
    return finished_run(folders[0])


@contextmanager
def _planned_anew(words: Sequence[str]) -> Iterator[None]:
    """Have each call its own plan, bill and time: in one process there may be many, and a command is one."""
    before = {name: os.environ.pop(name, None) for name in (PLAN, BEGAN, COMMAND)}
    os.environ[COMMAND] = shlex.join(["python", "-m", "mmsb", *words])  # the command that goes on where this one stops
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def _outside_loops(work: Callable[[], T]) -> T:
    """Do it here, or, where an event loop runs already (a notebook's), in a thread of its own."""
    try:
        # asyncio refuses a second loop in one thread, and the driver has its own.
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # handed to who waits
            result.set_exception(error)

    thread = threading.Thread(target=run, name="mmsb-evaluate", daemon=True)
    thread.start()
    try:
        return result.result()
    except KeyboardInterrupt:
        # Python delivers Ctrl-C to the main thread alone; what is answered is stored by then.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
        )
        thread.join()
        raise
