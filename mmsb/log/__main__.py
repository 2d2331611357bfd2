"""python -m mmsb.log run=FOLDER: record a finished run, or the runs of a sweep, in MLflow."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Record."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.log.recording import Recording

    build(config, Recording, (*TARGET_PACKAGES, *config.trusted_packages)).log()


if __name__ == "__main__":
    sys.exit(run_command("log", task))
