"""python -m mmsb.clean: remove what runs left that did not come to their end."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Name them, or remove them."""
    from mmsb.clean.dead import Clean
    from mmsb.config import build

    build(config, Clean).clean()


if __name__ == "__main__":
    sys.exit(run_command("clean", task))
