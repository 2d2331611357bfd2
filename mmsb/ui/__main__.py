"""python -m mmsb.ui: MLflow's UI with what was recorded, on this machine."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Serve until Ctrl-C."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.ui.serving import Serving

    build(config, Serving, (*TARGET_PACKAGES, *config.trusted_packages)).serve()


if __name__ == "__main__":
    sys.exit(run_command("ui", task))
