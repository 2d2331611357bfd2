"""python -m mmsb.report: the page of some finished runs, with its figures and tables as files."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Write one report."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.report.job import Report

    build(config, Report, (*TARGET_PACKAGES, *config.trusted_packages)).write_and_print()


if __name__ == "__main__":
    sys.exit(run_command("report", task))
