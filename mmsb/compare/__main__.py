"""python -m mmsb.compare runs=[A,B]: finished runs on the questions they share, pair by pair."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Compare the runs and print it."""
    from mmsb.compare.comparing import Comparing
    from mmsb.compare.report import print_comparing
    from mmsb.config import build

    print_comparing(build(config, Comparing))


if __name__ == "__main__":
    sys.exit(run_command("compare", task))
