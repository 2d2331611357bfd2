"""The door of every command: composes the configuration with Hydra, keeps secrets out, and speaks to people.

A command is `run_command(config_name, task)`. Errors for people are printed as two sentences and end with exit code
1; a stack trace comes with HYDRA_FULL_ERROR=1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mmsb.budget import BEGAN, SWEEP, BudgetReached
from mmsb.console import say, show
from mmsb.digest import write_atomically
from mmsb.error_messages import ERRORS, of_users, readable
from mmsb.errors import MmsbError
from mmsb.hydra_app import Before, parse, run_hydra
from mmsb.interrupts import Listener, terminated_as_interrupted, twice_ends_now
from mmsb.override_rules import refuse_lists
from mmsb.processes import end_at_once, end_quickly
from mmsb.secret import refuse_secrets
from mmsb.unread import may_stay_unread
from mmsb.usage import usage

__all__ = [
    "ERROR_FILE",
    "EXIT_ERROR",
    "EXIT_INTERRUPTED",
    "leave_why",
    "private",
    "raising",
    "run_command",
    "say",
    "show",
]

EXIT_ERROR, EXIT_STOPPED, EXIT_INTERRUPTED = 1, 3, 130
ERROR_FILE = "error.txt"
GOES_ON = "Interrupted. Everything answered so far is stored; the same command goes on from here."
ANEW = ("compare", "export", "plan", "report")  # nothing is answered there, and what they write is whole or not there
TOLD = ".told-"  # in a sweep's folder while it goes on: by the run that said why, with when the command began
STOPPED_FILE = "stopped.txt"  # in its place, of a run that its budget ended
FULL_ERROR = "HYDRA_FULL_ERROR"
Task = Callable[[DictConfig], None]


def run_command(
    config_name: str,
    task: Task,
    arguments: Sequence[str] | None = None,
    before: Before | None = None,
    interrupted: Callable[[], None] | None = None,
) -> int:
    """Compose the configuration from the command line and run `task` on it (once per cell of a sweep).

    Args:
        config_name: the command's file in conf/.
        task: what is run.
        arguments: of the command line; None for this process's own.
        before: looks at all runs before the first starts, and says whether they are to start.
        interrupted: called once where the command is interrupted, before it ends, at once perhaps.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    failed: list[MmsbError] = []
    with may_stay_unread(), twice_ends_now() as listener, terminated_as_interrupted(), private(), raising() as trace:
        try:
            # Before Hydra sees them: it writes every argument into four files.
            refuse_secrets(given)
            args = parse(given)
            if args.help:
                print(usage(config_name, args.config_dir, args.overrides), flush=True)
                return 0
            run_hydra(args, config_name, _guarded(task, failed, given, trace), before)
        except KeyboardInterrupt:
            return end_interrupted(listener, interrupted, config_name)
        except Exception as error:
            if (own := of_users(error)) is None and not isinstance(error, ERRORS):
                raise
            show(own or readable(error, given), trace)
            return EXIT_ERROR
    # A script that goes on with more money must tell this from a run that broke.
    if failed and all(isinstance(error, BudgetReached) for error in failed):
        return EXIT_STOPPED
    return EXIT_ERROR if failed else 0


def end_interrupted(
    listener: Listener | None, interrupted: Callable[[], None] | None, config_name: str = "config"
) -> int:
    """Say that the command was interrupted and where it goes on, and give its exit code; see `run_command`."""
    # Below the "^C" that a terminal shows: beside it the line would be wider than it was broken for.
    start = "\n" if sys.stderr.isatty() else ""
    say(start + (GOES_ON if config_name not in ANEW else "Interrupted. The same command begins anew."))
    if interrupted:
        interrupted()
    end_at_once(EXIT_INTERRUPTED)
    if listener and listener.count:
        end_quickly(EXIT_INTERRUPTED)
    return EXIT_INTERRUPTED


def _guarded(task: Task, failed: list[MmsbError], arguments: Sequence[str], trace: bool) -> Task:
    """The task as one run; its error is shown at once and leaves the other runs of a sweep running."""

    def guarded(config: DictConfig) -> None:
        try:
            refuse_lists(list(HydraConfig.get().overrides.task))
            # a worker of a launcher is another process, on another machine perhaps
            with may_stay_unread(), private():
                task(config)
        except Exception as error:
            if (own := of_users(error)) is None and not isinstance(error, ERRORS):
                raise
            told = own or readable(error, arguments)
            if not isinstance(told, BudgetReached) or _first(failed):
                show(told, trace)
            failed.append(told)
            leave_why(failed[-1])

    return guarded


def _first(failed: Sequence[MmsbError]) -> bool:
    """Whether no other run of this command told yet that the budget is spent, which every further one meets."""
    if any(isinstance(error, BudgetReached) for error in failed):
        return False
    sweep, began = os.environ.get(SWEEP), os.environ.get(BEGAN)
    if sweep and began:  # its runs may be processes, side by side
        try:
            os.close(os.open(Path(sweep, f"{TOLD}{began}"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        except OSError:  # a full disk, say: rather twice than never
            pass
    return True


@contextmanager
def private() -> Iterator[None]:
    """What is written meanwhile is its user's alone (files 0600, folders 0700): questions and answers are not for all.

    So are the files of the processes that are started meanwhile. Files that are there already stay as they are.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def raising() -> Iterator[bool]:
    """Have Hydra raise its errors instead of printing them; tells whether the user asked for stack traces."""
    asked = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield asked == "1"
    finally:
        if asked is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = asked


def leave_why(error: MmsbError) -> None:
    """Leave in the run's folder why it ended, where the end of a sweep finds it whatever process ran it."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    # A command that makes no run has none of its own, and a run of which nothing came has none any more.
    if HydraConfig.get().output_subdir is None or not folder.is_dir():
        return
    with suppress(OSError):  # a full disk, say: the error itself was shown
        write_atomically(folder / (STOPPED_FILE if isinstance(error, BudgetReached) else ERROR_FILE), str(error) + "\n")
