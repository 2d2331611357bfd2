"""What a plan looks like on the terminal."""

from __future__ import annotations

from rich.table import Table

from mmsb.plan.planning import Plan
from mmsb.terminal import LEFT, print_table


def print_plan(plan: Plan) -> None:
    """The questions, what comparisons of two runs can show, and how wide a run's intervals will be."""
    sizes = plan.sizes
    where, counts = str(plan.run or plan.dataset.name), sizes.values()
    print(f"{where}: {sum(counts):,} questions in {len(sizes)} scenarios ({min(counts)} to {max(counts)} each)")
    print_table(_differences(plan))
    print_table(_widths(plan))


def _differences(plan: Plan) -> Table:
    wished = f"{100 * plan.difference:g}"
    table = Table(
        title="Two runs on these questions: the smallest change they show",
        caption="In points, at 5 % with 80 % power, pair by pair. "
        f"For {wished}: how many questions a change of the average by {wished} points needs, where the scenarios stay "
        "in proportion; -: so few changes cannot bring it, or bring any change to light.",
        title_style="bold",
        **LEFT,
    )
    table.add_column("where")
    for heading in ("average over scenarios", "all questions", f"for {wished}"):
        table.add_column(heading, justify="right")
    # effective questions mean nothing at a keyboard: said in questions, the scenarios in proportion
    total = sum(plan.sizes.values())
    for one in plan.expected():
        need = "-" if one.needed is None else f"{max(1, round(one.needed * total)):,}"
        table.add_row(one.what, *(f"{100 * d:.1f}" if d else "-" for d in (one.macro, one.micro)), need)
    return table


def _widths(plan: Plan) -> Table:
    table = Table(title="One run: the 95 % interval around a rate", title_style="bold", **LEFT)
    for heading in ("rate %", "average over scenarios", "a scenario of middle size"):
        table.add_column(heading, justify="right")
    for share, average, single in plan.widths():
        cells = (f"{100 * rate.low:.1f} to {100 * rate.high:.1f}" for rate in (average, single))
        table.add_row(f"{100 * share:.0f}", *cells)
    return table
