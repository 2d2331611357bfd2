"""python -m mmsb.create: make a dataset in the layout of MM-SafetyBench."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Build the typed settings and do the steps."""
    # Imported only now: `--help` and a mistyped setting need no job.
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.create.job import Create
    from mmsb.create.steps import create

    create(build(config, Create, (*TARGET_PACKAGES, *config.trusted_packages)))


def main() -> int:
    """The command."""
    return run_command("create", task)


if __name__ == "__main__":
    sys.exit(main())
