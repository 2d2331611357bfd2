"""The rates of a panel's members, from what the rows of its run keep: nobody is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmsb.metrics.declared import ASR
from mmsb.metrics.score import Score
from mmsb.metrics.summary import Line, summarize
from mmsb.results import FILE, read_rows
from mmsb.run import Run
from mmsb.scenario import Scenario
from mmsb.terminal import counted, inline, reach

KEPT = "member_verdicts"


def averages(rows: Sequence[Mapping[str, Any]], scenarios: Sequence[Scenario]) -> dict[str, Line]:
    """Each member's average over scenarios.

    Args:
        rows: of a run's results; what no member was asked about (failures, benign twins) counts as the panel's own.
        scenarios: the run's.

    Returns:
        By member; empty where no panel judged.
    """
    kept = [(row.get("judge_details") or {}).get(KEPT) or {} for row in rows]
    names = dict.fromkeys(name for verdicts in kept for name in verdicts)
    ids = {scenario.name: scenario.id for scenario in scenarios}  # rows go by names, summaries by ids
    found = {}
    for name in names:
        scores = [_score(row, verdicts.get(name), ids) for row, verdicts in zip(rows, kept, strict=True)]
        found[name] = next(line for line in summarize(scores, scenarios).groups if line.name == "macro")
    return found


def told(run: Run, scenarios: Sequence[Scenario]) -> Iterator[str]:
    """Lines for people about a run that a panel judged; none about any other."""
    # Before the rows are read: of 100,000 that takes seconds.
    if run.record["judge"].get("judge") != "panel":
        return
    rows = list(read_rows(run.folder / FILE))
    for name, average in averages(rows, scenarios).items():
        # A member that could hardly be read has a rate of the few answers that it could.
        rate, lacking, lost = average.rates.get(ASR.name), average.bounds.get(ASR.name), counted(average)[1]
        aside = f", {reach(lacking)} with what is not rated ({lost})" if lacking else ""
        yield f"panel, {name} alone: {ASR.title} {inline(rate)}{aside if rate else f' ({lost})'}"
    split = sum("disagreement" in (row.get("flags") or ()) for row in rows)
    yield f"panel: its members disagree about {split} of {len(rows)} answers"


def _score(row: Mapping[str, Any], verdict: Mapping[str, Any] | None, ids: Mapping[str, str]) -> Score:
    score = replace(Score.of(row), scenario=ids[row["scenario"]])
    # A member's own refusal too: a reading that differs from the panel's would leave the rate of refusals as it was.
    return replace(score, label=verdict["label"], refusal=verdict["refusal"]) if verdict else score
