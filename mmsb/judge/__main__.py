"""python -m mmsb.judge: judge finished answers with another judge, without asking their model again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig

from mmsb.cli import run_command
from mmsb.hydra_app import Planned


def task(config: DictConfig) -> None:
    """Judge, print, export, track."""
    from mmsb.command import billed, describe, print_judged, record
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.judge.rejudge import Rejudge, rejudge
    from mmsb.results import FILE

    settings = build(config, Rejudge, (*TARGET_PACKAGES, *config.trusted_packages))
    run = settings.of(describe(config))
    with billed():
        summary, notes = rejudge(settings, run)
    print_judged(run, summary, notes, list(settings.finished.scenarios.values()))
    print(f"results: {run.folder / FILE}")
    settings.export_run(run)
    record(settings.tracker, run, settings.samples())
    # Answers that the old run lacks are its own failures, and were told above.
    if failed := replace(notes, failures=[]).failed(run.folder):
        raise failed


def before(config: DictConfig, runs: Sequence[Planned]) -> bool:
    """Say what the judge will be asked, before it is."""
    from mmsb.preflight.judging import preflight

    return preflight(config, runs)


def interrupted() -> None:
    """Say what a sweep has cost, and end its record."""
    from mmsb.sweep import leave_sweep

    leave_sweep()


def main() -> int:
    """Judge once, or once for each judge of a sweep."""
    code = run_command("rejudge", task, before=before, interrupted=interrupted)
    from mmsb.sweep import finish_sweep

    return finish_sweep(code)


if __name__ == "__main__":
    sys.exit(main())
