"""python -m mmsb.export: finished runs in the forms that other tools read."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Write one export."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.export.job import Export

    build(config, Export, (*TARGET_PACKAGES, *config.trusted_packages)).write_and_print()


if __name__ == "__main__":
    sys.exit(run_command("export", task))
