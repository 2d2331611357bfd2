"""python -m mmsb.view: runs as they go on, in the browser."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Serve until interrupted."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.view.server import View

    build(config, View, (*TARGET_PACKAGES, *config.trusted_packages)).serve()


if __name__ == "__main__":
    sys.exit(run_command("view", task))
