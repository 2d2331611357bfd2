"""What a finished run looks like on the terminal: one table by scenario and group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mmsb.comparable import heading, sentence
from mmsb.console import tell
from mmsb.cost import a_sample
from mmsb.metrics import declared
from mmsb.metrics.declared import Metric
from mmsb.metrics.rates import Rate
from mmsb.metrics.summary import Bounds, Line, Summary
from mmsb.report.published import published_asr, remark
from mmsb.run import Run

WIDTH_WHEN_PIPED = 120
WHO = ("dataset", "image_mode", "model", "defense", "judge")
BETWEEN = re.compile(r" (?![^\[]*\])")  # words of a heading, but not "[95 %]"
BEFORE = re.compile(r" (?=\[)")  # an interval stays whole
LEFT: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}


def console() -> Console:
    """Standard output; of fixed width when it is not a terminal, so that tables do not break."""
    # Rich wraps at 80 where nobody looks, and a table in a log is then broken in the middle.
    out = Console()
    return out if out.is_terminal else Console(width=WIDTH_WHEN_PIPED)


def print_table(table: Table, out: Console | None = None) -> None:
    """Print a table; where it is too wide, intervals go below their values and names break, but nothing is cut."""
    shown = out or console()
    needed = Measurement.get(shown, shown.options.update(max_width=10_000), table).maximum
    if out is None and not shown.is_terminal:  # a log has room
        shown = Console(width=max(needed, shown.width))
    shown.print(_narrow(table) if needed > shown.width else table)


def _narrow(table: Table) -> Table:
    narrow = Table(
        title=table.title, caption=table.caption, title_style=table.title_style, padding=0, show_lines=True, **LEFT
    )
    for column in table.columns:
        right = column.justify == "right"
        header = BETWEEN.sub("\n", str(column.header)) if right else column.header
        narrow.add_column(header, justify=column.justify, no_wrap=right, overflow="fold")
    for cells, row in zip(zip(*(column.cells for column in table.columns), strict=True), table.rows, strict=True):
        narrow.add_row(*(BEFORE.sub("\n", str(cell)) for cell in cells), end_section=row.end_section)
    return narrow


def percent(rate: Rate | None) -> str:
    """A rate as "41.0 [38.2, 44.1]", in percent with its 95 % interval; a dash where there is none."""
    if rate is None:
        return "-"
    return f"{100 * rate.value:5.1f} [{100 * rate.low:4.1f}, {100 * rate.high:5.1f}]"


def inline(rate: Rate | None) -> str:
    """The same inside a sentence, where nothing stands in columns."""
    return f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]" if rate else "-"


def short(rate: Rate | None) -> str:
    """A rate for a crowded table: 41.0 [38, 44], in percent; a dash where there is none."""
    return f"{100 * rate.value:.1f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]" if rate else "-"


def reach(bounds: Bounds | None) -> str:
    """Bounds as "33.3 .. 66.7", in percent; nothing where no answer is missing."""
    return f"{100 * bounds[0]:.1f} .. {100 * bounds[1]:.1f}" if bounds else ""


def change(rate: Rate) -> str:
    """A difference in points with its 95 % interval."""
    return f"{100 * rate.value:+.1f} [{100 * rate.low:+.1f}, {100 * rate.high:+.1f}]"


def p_value(p: float | None) -> str:
    """A p as people print it: never 0."""
    # a test that was not made is no p of 1
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def print_summary(run: Run, summary: Summary) -> None:
    """The run's table: its rates with 95 % intervals, what is in no rate, and what that could do to them."""
    paper = published_asr(run.choices)
    lines = (*summary.scenarios, *summary.groups)
    shown = [metric for metric in declared.METRICS if _in_table(metric, lines)]
    out = console()
    for form in (percent, short):  # an interval that is broken in its middle cannot be read
        table = _summarised(run, summary, shown, form, paper)
        if Measurement.get(out, out.options.update(max_width=10_000), table).maximum <= out.width:
            break
    out.print(table)
    for note in left_out(summary, shown):
        tell(note)
    if paper and (told := remark(run.choices)):
        tell(f"paper: {told}")
    tell(sentence(run.record["comparable"]))
    tell(cost(run.record))


def _summarised(
    run: Run,
    summary: Summary,
    shown: Sequence[Metric],
    form: Callable[[Rate | None], str],
    paper: Mapping[str, float],
) -> Table:
    # The sentence about bounds is only for tables that have some.
    lacking = any(line.bounds for line in (*summary.scenarios, *summary.groups))
    table = Table(title=escape(run.name), caption=escape(_caption(run, lacking)), title_style="bold", **LEFT)
    table.add_column("scenario")
    for metric in shown:
        table.add_column(f"{metric.title} % [95 %]", justify="right", no_wrap=True)
    for title in (*([heading(run.record["comparable"])] if paper else []), "n", "not rated"):
        table.add_column(title, justify="right")
    for section in (summary.scenarios, summary.groups):
        for line in section:
            cells = [_bounded(line, metric, form) for metric in shown]
            cells += [f"{paper[line.name]:.1f}" if line.name in paper else ""] if paper else []
            table.add_row(escape(line.title), *cells, *counted(line))
        table.add_section()
    return table


def left_out(summary: Summary, metrics: Sequence[Metric]) -> Iterator[str]:
    """A sentence for each average that is not over all scenarios."""
    average = next(line for line in summary.groups if line.name == "macro")
    for metric in metrics:
        if titles := average.left_out.get(metric.name):
            rest = len(summary.scenarios) - len(titles)
            yield f"{metric.title}: averages over {rest} scenarios; nothing could be rated in {', '.join(titles)}."


def print_line(run: Run, summary: Summary) -> None:
    """The run's averages in one line, as soon as it is finished."""
    average = next(line for line in summary.groups if line.name == "macro")
    rates = [
        f"{metric.title} {inline(average.rates[metric.name])}{_aside(average, metric)}"
        for metric in declared.METRICS
        if _in_table(metric, [average])
    ]
    asked = f"asked {run.record['asked']}" if run.record["asked"] else "nothing asked, all in the store"
    tell(f"{run.name}: {', '.join(rates) or 'nothing could be rated'} ({asked}{_unread(run.record)})")


def cost(record: Mapping[str, Any]) -> str:
    """What a run's answers cost, per sample: calls of models, tokens, seconds; and how many checks told nothing."""
    samples, totals = record["dataset"]["samples"], record["totals"]
    # Of a run that was judged again its own sums are all that there is.
    each = {name: total / samples for name, total in totals.items()} | a_sample(record)
    given, came = each["input_tokens"], each["output_tokens"]
    known = given is not None and came is not None
    tokens = f"{given:.0f} + {came:.0f} tokens" if known else "an unknown number of tokens"
    took = "an unknown time" if each["seconds"] is None else f"{each['seconds']:.2g} s"
    calls = f"{each['calls']:.2g}"
    return f"a sample took {calls} {'call' if calls == '1' else 'calls'}, {tokens}, {took}{_unread(record)}"


def _unread(record: Mapping[str, Any]) -> str:
    # A defense whose checks tell nothing does nothing: its rate is that of no defense.
    unread = int(record["totals"].get("unreadable_checks", 0))
    return f"; unreadable checks: {unread}" if unread else ""


def _in_table(metric: Metric, lines: Iterable[Line]) -> bool:
    return metric.in_tables and any(metric.name in line.rates for line in lines)


def _bounded(line: Line, metric: Metric, form: Callable[[Rate | None], str]) -> str:
    """A rate, and below it what missing answers could make of it."""
    rate, bounds = form(line.rates.get(metric.name)), reach(line.bounds.get(metric.name))
    return f"{rate}\n{bounds}" if bounds else rate


def _caption(run: Run, lacking: bool) -> str:
    told = [f"{group} {run.choices[group]}" for group in WHO if group in run.choices]
    who = ", ".join([*told, f"protocol {run.config.get('protocol', 'authors')}"])
    caption = f"{who}. ASR = unsafe / (safe + unsafe); in brackets the 95 % interval."
    missing = (
        " Below a rate: what it would be if nothing that is not rated counted (was safe) .. if all did (was unsafe)."
    )
    return caption + (missing if lacking else "")


def _aside(line: Line, metric: Metric) -> str:
    """What the one line says of an average's missing answers."""
    told = [f"{reach(line.bounds[metric.name])} with what is not rated"] if metric.name in line.bounds else []
    told += [f"without {', '.join(titles)}" for titles in [line.left_out.get(metric.name)] if titles]
    return f" ({'; '.join(told)})" if told else ""


def counted(line: Line) -> tuple[str, str]:
    """How many answers a line rates, and what of the others became: "2 unparsed, 1 failed", or "0"."""
    left_out = [f"{line.counts[label]} {label}" for label in ("unparsed", "filtered", "failed") if line.counts[label]]
    return str(line.counts["safe"] + line.counts["unsafe"]), ", ".join(left_out) or "0"
