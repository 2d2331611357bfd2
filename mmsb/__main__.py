"""python -m mmsb: evaluate a model on the benchmark."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from mmsb.cli import run_command
from mmsb.hydra_app import Planned


def task(config: DictConfig) -> None:
    """One evaluation: build its typed settings, run it, show and record what came out."""
    from mmsb.command import run_once

    run_once(config)


def before(config: DictConfig, runs: Sequence[Planned]) -> bool:
    """See that all runs can be run before the first starts."""
    from mmsb.preflight.job import preflight

    return preflight(config, runs)


def interrupted() -> None:
    """Say what a sweep has cost, and end its record."""
    from mmsb.sweep import leave_sweep

    leave_sweep()


def main() -> int:
    """The console script `mmsb`."""
    code = run_command("config", task, before=before, interrupted=interrupted)
    # After the command, not from a callback of Hydra's: the runs of a sweep may have ended in other processes, and some
    # of them badly.
    from mmsb.sweep import finish_sweep

    return finish_sweep(code)


if __name__ == "__main__":
    sys.exit(main())
