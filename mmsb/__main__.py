"""python -m mmsb: evaluate a model on the benchmark."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """One evaluation: build its typed settings, run it, show and record what came out."""
    from mmsb.command import run_once

    run_once(config)


def before_sweep(config: DictConfig) -> None:
    """See that a sweep can run as a whole."""
    from mmsb.needs import check_sweep

    check_sweep(config)


def main() -> int:
    """The console script `mmsb`."""
    code = run_command("config", task, before_sweep=before_sweep)
    from mmsb.sweep import finish_sweep

    return finish_sweep() or code


if __name__ == "__main__":
    sys.exit(main())
