"""A whole comparison as it is printed."""

from __future__ import annotations

from mmsb.compare.comparing import Comparing
from mmsb.compare.judges import print_sensitivity
from mmsb.compare.tables import print_changes, print_runs, print_scenarios


def print_comparing(comparing: Comparing) -> None:
    """The runs, then their averages, then every pair by scenario.

    Raises:
        MmsbError: the runs cannot be read, may not be compared, or share nothing.
    """
    metric = comparing.metric
    print_runs(comparing.opened)
    found = comparing.compared()
    if comparing.across_judges:
        print_sensitivity(comparing.opened, found, metric)
    print_changes(found, metric)
    for one in found:
        print_scenarios(one, metric)
