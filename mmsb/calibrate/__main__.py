"""python -m mmsb.calibrate: how far a judge agrees with labelled answers, and what its errors do to a run's ASR."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Calibrate one judge."""
    from mmsb.calibrate.calibration import Calibration
    from mmsb.config import TARGET_PACKAGES, build

    build(config, Calibration, (*TARGET_PACKAGES, *config.trusted_packages)).run_and_print()


if __name__ == "__main__":
    sys.exit(run_command("calibrate", task))
