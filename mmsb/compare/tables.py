"""What a comparison looks like on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from mmsb.compare.comparing import Compare
from mmsb.compare.runs import WHO, Compared, changed_data, differing
from mmsb.console import tell
from mmsb.metrics.declared import Metric
from mmsb.metrics.paired import Difference
from mmsb.scenario import official_scenarios
from mmsb.terminal import LEFT, change, p_value, print_table

AVERAGES = {
    "harm": "Harm scenarios",
    "policy": "Policy scenarios",
    "macro": "Average over scenarios (macro)",
    "micro": "All questions (micro)",
}
CAPTION = (
    "Shared questions only. Change: second minus first, in points, with its 95 % interval. p: of no change of what "
    "stands there (averages: empirical likelihood; scenarios and all questions: exact McNemar on questions). "
    "Holm: corrected over {}. Detectable: what questions that change as much as these show with 80 % power."
)


def print_runs(runs: Sequence[Compared]) -> None:
    """Which runs they are, and what differs beyond their groups' options."""
    table = Table(title="Runs", title_style="bold", **LEFT)
    groups = [group for group in WHO if any(group in run.settings for run in runs)]
    for heading in ("", "run", *groups):
        table.add_column(heading)
    for run in runs:
        table.add_row(str(run.number), escape(str(run.folder)), *(escape(run.settings.get(g, "-")) for g in groups))
    print_table(table)
    for key in differing(runs):
        # by number: paths are long, and the table above has them
        values = "; ".join(f"{run.number}: {run.settings.get(key, '-')}" for run in runs)
        tell(f"differs: {key} ({values})")
    for run in changed_data(runs):
        told = f"1: {runs[0].shown[:8]}; {run.number}: {run.shown[:8]}"
        tell(f"differs: texts or pictures of the same questions ({told}): the dataset's files were changed in between")


def print_changes(found: Sequence[Compare], metric: Metric) -> None:
    """The averages of all pairs, with how many answers were matched, and why others were not."""
    table = Table(
        title=f"{metric.title}, average over scenarios: % of shared questions",
        caption=CAPTION.format("the pairs of this table that differ at all"),
        title_style="bold",
        **LEFT,
    )
    table.add_column("runs")
    for heading in ("first", "second", "change [95 %]", "p", "Holm", "detectable", "pairs", "dropped"):
        table.add_column(heading, justify="right")
    for one in found:
        difference = one.found.of("macro")
        assert difference is not None  # a pair of runs that shares nothing was refused
        cells = [*_numbers(difference), str(one.found.pairs), str(sum(one.found.dropped.values()))]
        table.add_row(escape(pair(one)), *cells)
    print_table(table)
    for one in found:
        for text in remarks(one):
            tell(f"{pair(one)}: {text}")


def pair(one: Compare) -> str:
    """A pair by its numbers, and what is compared: runs under a judge, or two judges of the same answers."""
    judges = {one.first.judge, one.second.judge}
    told = f" ({one.second.judge} against {one.first.judge})" if len(judges) > 1 else ""
    return f"{one.second.number} against {one.first.number}{told}"


def remarks(one: Compare) -> list[str]:
    """What was not compared, and what that could do to the average."""
    told = [f"{count} dropped: {reason}" for reason, count in sorted(one.found.dropped.items())]
    # the change is right without them, but no longer that of the averages which the runs print
    if one.found.left_out:
        told.append(f"averages are without {', '.join(one.found.left_out)}: nothing was matched there")
    macro = one.found.of("macro")
    if macro and macro.bounds:
        least, most = (100 * bound for bound in macro.bounds)
        told.append(
            f"with any verdict on what has none, the average's change lies between {least:+.1f} and {most:+.1f}"
        )
    return told


def print_scenarios(one: Compare, metric: Metric) -> None:
    """A pair by scenario and group."""
    table = Table(
        title=f"{metric.title}: {pair(one)}",
        caption=CAPTION.format("the scenarios of all pairs that differ at all; for macro over the pairs of runs"),
        title_style="bold",
        **LEFT,
    )
    table.add_column("scenario")
    for heading in ("first", "second", "change [95 %]", "p", "Holm", "detectable", "fell", "rose", "n"):
        table.add_column(heading, justify="right")
    titles = AVERAGES | {scenario.name: scenario.title for scenario in official_scenarios()}
    for difference in one.found.differences:
        if difference.scope == "harm" or (difference.scope == "macro" and not one.found.of("harm")):
            table.add_section()
        cells = [*_numbers(difference), str(difference.fell), str(difference.rose), str(difference.change.n)]
        table.add_row(escape(titles.get(difference.scope, difference.scope)), *cells)
    print_table(table)


def _numbers(difference: Difference) -> list[str]:
    return [
        f"{100 * difference.first:.1f}",
        f"{100 * difference.second:.1f}",
        change(difference.change),
        p_value(difference.p),
        p_value(difference.p_holm),
        f"{100 * difference.detectable:.1f}" if difference.detectable else "-",
    ]
