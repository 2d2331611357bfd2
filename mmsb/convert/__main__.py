"""python -m mmsb.convert model=NAME: a model's published files made one checkpoint, once."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Convert one model."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.convert.conversion import Conversion

    build(config, Conversion, (*TARGET_PACKAGES, *config.trusted_packages)).run()


if __name__ == "__main__":
    sys.exit(run_command("convert", task))
