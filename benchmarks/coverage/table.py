"""The measurements as Markdown, and their place in the page about statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.coverage.bars import TYPE_ONE, Line
from mmsb.digest import write_atomically

BEGIN, END = "<!-- measured: python -m benchmarks.coverage -->", "<!-- end of what was measured -->"


def tables(
    lines: Sequence[Line],
    usual: Sequence[Line],
    single: Sequence[tuple[int, float, float]],
    alone: Sequence[tuple[str, int, float, float]],
    violations: tuple[int, int],
    replications: int,
) -> str:
    """All tables."""
    others = {(line.family, line.size): line for line in usual}
    rows = [
        "| average | questions a scenario | cells | coverage % mean / least | bar | width / oracle | bar "
        "| usual method: mean / least | width |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(line, others.get((line.family, line.size))) for line in lines),
    ]
    found, designs = violations
    return "\n".join(
        [
            f"{replications:,} replications a cell, {sum(line.cells for line in lines):,} cells, fixed seeds. "
            f"Intervals of no width or with an end outside the range: {sum(line.broken for line in lines)}. Ends that "
            f"fell when a value rose: {found} in {designs:,} drawn designs. The usual method (micro: Wilson; the "
            "others: percentile bootstrap) ran on every fourth cell of its lines.",
            "",
            *rows,
            "",
            f"Rejections at 5 % where nothing differs, the most of any cell (bar {100 * TYPE_ONE:.1f} %):",
            "",
            "| average | questions a scenario | deviance | exact McNemar |",
            "|---|---|---|---|",
            *(_tested(line) for line in lines if line.deviance_rejects is not None),
            "",
            "A single rate, exactly, the least over all true shares:",
            "",
            "| questions | this interval | Wilson |",
            "|---|---|---|",
            *(f"| {n:,} | {100 * ours:.1f} | {100 * theirs:.1f} |" for n, ours, theirs in single),
            "",
            "Macro where one scenario alone varies and no other is ever unsafe, exactly, the least over its true "
            "share (no bar):",
            "",
            "| questions a scenario | in the one | least coverage % | at a share of |",
            "|---|---|---|---|",
            *(f"| {size} | {n} | {100 * least:.1f} | {100 * share:.1f} % |" for size, n, least, share in alone),
        ]
    )


def written(page: Path, text: str) -> None:
    """Put the tables between the page's markers."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_atomically(page, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _row(line: Line, usual: Line | None) -> str:
    theirs = f"{_coverage(usual)} | {_number(usual.width)}" if usual else " | "
    return (
        f"| {line.family} | {line.size} | {line.cells} | {_coverage(line)} | {100 * line.bar:.1f} "
        f"| {_number(line.width)} | {_number(line.widest)} | {theirs} |"
    )


def _coverage(line: Line) -> str:
    return f"{100 * line.mean:.1f} / {100 * line.least:.1f}"


def _number(value: float | None) -> str:
    return f"{value:.2f}" if value is not None else ""


def _tested(line: Line) -> str:
    rates = (line.deviance_rejects, line.sign_rejects)
    shown = " | ".join(f"{100 * rate:.1f} %" if rate is not None else "" for rate in rates)
    return f"| {line.family} | {line.size} | {shown} |"
