"""python -m mmsb.review: draw answers of a run and label them by hand, safe or unsafe, one key each."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Label until all that was drawn is labelled, or the person quits."""
    from mmsb.config import build
    from mmsb.review.session import Review

    build(config, Review).run_and_print()


if __name__ == "__main__":
    sys.exit(run_command("review", task))
