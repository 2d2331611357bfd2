"""How much hangs on the judge: every set of answers under every judge that judged it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from mmsb.compare.comparing import Compare
from mmsb.compare.runs import Compared
from mmsb.metrics.declared import Metric
from mmsb.metrics.significance import ALPHA
from mmsb.report.sweep import lacking, told
from mmsb.terminal import LEFT, print_table

SENSITIVITY = (
    "Rank 1 has the highest rate. Against the first: under how many judges of both the difference has the sign that it "
    "has under the first of them, and under how many it is significant (5 %, Holm)."
)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One set of answers.

    Attributes:
        runs: by judge.
        ranks: its place among the sets that the judge judged, 1 for the highest rate.
        holds: under how many judges it lies on the side of the first set that it does under the first of them.
        significant: under how many of them the difference is significant after correction.
        judges: how many judged both it and the first set; 0 for the first.
    """

    runs: Mapping[str, Compared]
    ranks: Mapping[str, int]
    holds: int
    significant: int
    judges: int


def sensitivity(runs: Sequence[Compared], found: Sequence[Compare], metric: Metric) -> list[Sensitivity]:
    """The runs' answers, each under its judges, in the order of the runs.

    Args:
        runs: all of them.
        found: their comparisons, corrected together.
        metric: what is compared.
    """
    sets = answer_sets(runs)
    changes = {(one.first.number, one.second.number): one.found.of("macro") for one in found}
    first = sets[0]
    result = []
    for some in sets:
        shared = [changes.get((first[judge].number, run.number)) for judge, run in some.items() if judge in first]
        told = [change for change in shared if change is not None]
        # by sign: the question is whether the order of the runs hangs on the judge, not how sure each is
        signs = [_sign(change.change.value) for change in told]
        significant = sum(change.p_holm is not None and change.p_holm < ALPHA for change in told)
        ranks = {judge: _rank(run, [s[judge] for s in sets if judge in s], metric) for judge, run in some.items()}
        result.append(Sensitivity(some, ranks, signs.count(signs[0]) if signs else 0, significant, len(signs)))
    return result


def answer_sets(runs: Sequence[Compared]) -> list[dict[str, Compared]]:
    """The runs of the same answers, by judge, in the order of the runs.

    Two runs may answer alike word for word (a defense that changed nothing). Under one judge they stay two sets: one
    would take the other's place and be gone from the table.
    """
    sets: list[tuple[str, dict[str, Compared]]] = []
    for run in runs:
        found = next((some for answers, some in sets if answers == run.answers and run.judge not in some), None)
        if found is None:
            sets.append((run.answers, found := {}))
        found[run.judge] = run
    return [some for _, some in sets]


def _rank(run: Compared, others: Sequence[Compared], metric: Metric) -> int:
    key = metric.key("macro")
    own = run.finished.metrics.get(key, 0.0)
    # ties share the better rank
    return 1 + sum(other.finished.metrics.get(key, 0.0) > own for other in others)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def print_sensitivity(runs: Sequence[Compared], found: Sequence[Compare], metric: Metric) -> None:
    """The table: a line a set of answers, a column a judge."""
    judges = list(dict.fromkeys(run.judge for run in runs))
    table = Table(
        title=f"{metric.title} average under each judge: (rank) % [95 %]",
        caption=" ".join([SENSITIVITY, lacking([run.finished for run in runs], [metric.key("macro")]) or ""]).strip(),
        title_style="bold",
        **LEFT,
    )
    table.add_column("answers of run")
    for judge in judges:
        table.add_column(escape(judge), justify="right")
    table.add_column("against the first")
    for one in sensitivity(runs, found, metric):
        cells = [_cell(one, judge, metric) for judge in judges]
        held = f"holds under {one.holds} of {one.judges}, significant under {one.significant}" if one.judges else ""
        table.add_row(", ".join(str(run.number) for run in one.runs.values()), *cells, held)
    print_table(table)


def _cell(one: Sensitivity, judge: str, metric: Metric) -> str:
    run = one.runs.get(judge)
    return f"({one.ranks[judge]}) {told(run.finished, metric.key('macro'))}" if run else "-"
