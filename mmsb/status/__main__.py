"""python -m mmsb.status: which runs go on, which are left, and what failed."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Look, and print."""
    from mmsb.config import build
    from mmsb.status.table import Status

    build(config, Status).print()


if __name__ == "__main__":
    sys.exit(run_command("status", task))
