"""python -m mmsb.plan: the smallest difference that a set of questions can show, and how many a smaller one needs."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from mmsb.cli import run_command


def task(config: DictConfig) -> None:
    """Plan and print it."""
    from mmsb.config import TARGET_PACKAGES, build
    from mmsb.plan.planning import Plan
    from mmsb.plan.tables import print_plan

    plan = build(config, Plan, (*TARGET_PACKAGES, *config.trusted_packages))
    print_plan(plan)


if __name__ == "__main__":
    sys.exit(run_command("plan", task))
