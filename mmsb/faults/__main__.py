"""python -m mmsb.faults: an endpoint that misbehaves on purpose, to try a setup against."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Serve until Ctrl-C."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.faults.serving import Faults

    build(config, Faults, (*TARGET_PACKAGES, *config.trusted_packages)).serve()


if __name__ == "__main__":
    sys.exit(run_command("faults", task))
