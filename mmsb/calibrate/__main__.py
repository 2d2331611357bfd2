"""python -m mmsb.calibrate: how far a judge agrees with labelled answers, and what its errors do to a run's ASR."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from mmsb.cli import run_command
from mmsb.hydra_app import Planned


def task(config: DictConfig) -> None:
    """Calibrate one judge, print the tables, and leave the numbers in a file of their own."""
    from mmsb.calibrate.calibration import Calibration
    from mmsb.calibrate.report import save
    from mmsb.calibrate.tables import print_report
    from mmsb.config import TARGET_PACKAGES, build

    calibration = build(config, Calibration, (*TARGET_PACKAGES, *config.trusted_packages))
    report = calibration.report()
    print_report(report, calibration.file.draw)
    folder = calibration.output_dir / "calibrations"
    # After the tables: a full disk must not keep the numbers from whoever asked for them.
    path = save(report, calibration.runs, calibration.labels_file, calibration.fingerprint(), folder)
    print(f"numbers: {path}")


def before(config: DictConfig, runs: Sequence[Planned]) -> bool:
    """Say what the judge will be asked, before it is."""
    from mmsb.calibrate.preflight import preflight

    return preflight(config, runs)


if __name__ == "__main__":
    sys.exit(run_command("calibrate", task, before=before))
