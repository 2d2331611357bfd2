"""A ranking of runs in which no place is claimed that the data do not give: intervals that hold all at once.

Each run's average has its empirical-likelihood interval at 1 - 5 % / k for k runs (Bonferroni), so that with 95 % all k
hold together. A run's best place is one more than the runs that lie wholly below it, its worst the number of runs that
do not lie wholly above it. That all runs ask the same questions is used by the paired tests, and not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from rich.markup import escape
from rich.table import Table

from mmsb.metrics.declared import Metric
from mmsb.metrics.rates import CONFIDENCE, Rate
from mmsb.metrics.score import Score
from mmsb.report.finished import Finished
from mmsb.terminal import LEFT, console, short


@dataclass(frozen=True, slots=True)
class Place:
    """A run's average with its simultaneous interval, and the places it may have (1 is the lowest rate)."""

    label: str
    rate: Rate
    best: int
    worst: int


def limit(runs: int) -> float:
    """The chi-squared point (one degree of freedom) of an interval that holds together with those of all `runs`."""
    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * runs)) ** 2


def rank(labelled: Sequence[tuple[str, Finished]], metric: Metric) -> list[Place]:
    """The runs by their average over scenarios, the lowest first; those without one are left out.

    Args:
        labelled: the runs with what to call them.
        metric: what they are ranked by; its lowest is best.
    """
    designs = [(label, metric.design(Score.of(row) for row in run.rows())) for label, run in labelled]
    # Runs without a rate take no place, and so cost the others no width.
    at = limit(sum(bool(design.strata) for _, design in designs) or 1)
    rates = [(label, rate) for label, design in designs if (rate := design.rate("macro", at))]
    placed = [
        Place(
            label,
            rate,
            1 + sum(other.high < rate.low for _, other in rates),
            sum(other.low <= rate.high for _, other in rates),
        )
        for label, rate in rates
    ]
    return sorted(placed, key=lambda place: place.rate.value)


def print_ranking(title: str, places: Sequence[Place]) -> None:
    """The places as a table; nothing for fewer than two."""
    if len(places) < 2:
        return
    several = "both" if len(places) == 2 else f"all {len(places)}"
    caption = (
        f"Averages over scenarios, %, with intervals that hold for {several} at once (Bonferroni). Places: from the "
        "best to the worst that these intervals leave open."
    )
    table = Table(title=f"Ranking by {title}", caption=caption, title_style="bold", **LEFT)
    for heading in ("run", title, "places"):
        table.add_column(heading, justify="left" if heading == "run" else "right", no_wrap=heading != "run")
    for place in places:
        reach = str(place.best) if place.best == place.worst else f"{place.best} to {place.worst}"
        table.add_row(escape(place.label), short(place.rate), reach)
    console().print(table)
