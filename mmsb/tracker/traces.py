"""One MLflow trace per sample, linked to its run, with the verdict as assessments.

A trace and its assessments take a call, the spans of many traces go to the store in one: about 10 ms a trace on SQLite.
Ids are derived from the run and the sample, so that writing a run's traces again replaces them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from mmsb.calls import CallsOf
from mmsb.digest import digest
from mmsb.prices import recorded_prices
from mmsb.run import SavedRun
from mmsb.tracker.pictures import as_defended, neutral, shown_as
from mmsb.tracker.spans import Traced, cost_of, shown_of, spans
from mmsb.tracker.times import when
from mmsb.types import Sample
from mmsb.withholding import Withhold, without

if TYPE_CHECKING:
    from mlflow.entities import Feedback, TraceInfo

BATCH = 100
PREVIEW = 1_000  # characters
JUDGES_REFUSALS = ("refusal", "response refusal", "probabilities", "members")  # details of judges that tell refusals


@dataclass(frozen=True, slots=True)
class Target:
    """Where traces go: the store, the experiment and the run."""

    uri: str
    experiment: str
    run: str


def chosen(which: str | int, row: Mapping[str, Any], number: int, total: int) -> bool:
    """Whether a sample gets a trace.

    Args:
        which: "all", "unsafe", "none", or how many, spread evenly over the run (the same ones in every image mode).
        row: its row.
        number: its place, from 0.
        total: how many there are.
    """
    if isinstance(which, int):
        # Bresenham's line: as many as wanted, evenly, and by place alone, so that the same questions are chosen in
        # every mode.
        return number * which // total != (number - 1) * which // total
    return which == "all" or (which == "unsafe" and row["label"] == "unsafe")


def samples(
    run: SavedRun, asked: Iterable[Sample], which: str | int, *, originals: bool, key: str, withhold: Withhold
) -> Iterator[Traced]:
    """The chosen samples of a run with their calls, without what is withheld."""
    total, defenses = run.values["record"]["dataset"]["samples"], run.values["config"].get("defense") or {}
    prices, target = recorded_prices(run.values["config"]), str((run.values["config"].get("model") or {}).get("name"))
    with CallsOf(run.folder) as calls:
        for number, (row, sample) in enumerate(zip(run.rows(), asked, strict=True)):
            assert row["id"] == sample.id
            if chosen(which, row, number, total):
                picture = sample.prompt.image if withhold != "all" else None
                known = as_defended(picture, defenses) if picture else {}
                made: dict[str, str] = {}

                def shown(identity: str, known: Mapping[str, Any] = known, made: dict[str, str] = made) -> str | None:
                    if identity in known and identity not in made:
                        made[identity] = shown_as(known[identity], originals)
                    return made.get(identity)

                made_calls, left = calls.of(row["id"]), without(row, withhold)
                yield Traced(
                    trace_id(key, row["id"]),
                    left,
                    [shown_of(call, left, withhold) for call in made_calls],
                    when(made_calls, time.time()),
                    picture.identity if picture else None,
                    shown,
                    prices,
                    bool(row["judge_reply"]) or any(c["stage"] == "judge" and c["counted"] for c in made_calls),
                    any(key in row["judge_details"] for key in JUDGES_REFUSALS),
                    target,
                )


def trace_id(key: str, sample: str) -> str:
    """The id of a sample's trace, 32 hex digits: the same however often its run is recorded."""
    return digest([key, sample])


def delete(target: Target, ids: Iterable[str]) -> None:
    """Remove traces, as far as they are there."""
    from mlflow.tracing.client import TracingClient

    client, rest = TracingClient(target.uri), iter(ids)
    while batch := list(islice(rest, BATCH)):
        client.delete_traces(target.experiment, trace_ids=[f"tr-{one}" for one in batch])


def write(target: Target, traced: Iterable[Traced], judge: str) -> Iterator[Traced]:
    """Write traces, and pass them on once they are written.

    Args:
        target: where to.
        traced: the samples.
        judge: the judge's name.
    """
    from mlflow.tracing.client import TracingClient

    client, rest = TracingClient(target.uri), iter(traced)
    while batch := list(islice(rest, BATCH)):
        for one in batch:  # the assessments go with the trace: each on its own would take a call
            client.start_trace(_info(one, target, judge))
        client.log_spans(target.experiment, [span for one in batch for span in spans(one)])
        yield from batch


def _info(traced: Traced, target: Target, judge: str) -> TraceInfo:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    row = traced.row
    return TraceInfo(
        trace_id=f"tr-{traced.id}",
        trace_location=TraceLocation.from_experiment_id(target.experiment),
        request_time=round(traced.when.whole[0] * 1000),
        execution_duration=None if traced.when.seconds is None else round(traced.when.seconds * 1000),
        state=TraceState.ERROR if traced.failed else TraceState.OK,
        request_preview=traced.request[:PREVIEW],
        response_preview=traced.response[:PREVIEW],
        trace_metadata={"mlflow.sourceRun": target.run, **_usage(traced), **_cost(traced)},
        tags={"mlflow.traceName": row["id"], "scenario": row["scenario"]},
        assessments=list(_assessments(traced, target, judge)),
    )


def _usage(traced: Traced) -> dict[str, str]:
    """The tokens of the whole sample, as MLflow's table shows them."""
    known = [call for call in traced.calls if call.get("input_tokens") is not None and call["counted"]]
    if not known:
        return {}
    given, came = (sum(call[key] or 0 for call in known) for key in ("input_tokens", "output_tokens"))
    usage = {"input_tokens": given, "output_tokens": came, "total_tokens": given + came}
    return {"mlflow.trace.tokenUsage": json.dumps(usage)}


def _cost(traced: Traced) -> dict[str, str]:
    """The dollars of the whole sample, where all of them are known."""
    known = [dollars for dollars in traced.dollars if dollars is not None]
    return {"mlflow.trace.cost": json.dumps(cost_of(known))} if traced.priced else {}


def _assessments(traced: Traced, target: Target, judge: str) -> Iterator[Feedback]:
    from mlflow.entities import AssessmentSource, Feedback

    row = traced.row
    by_judge = AssessmentSource("LLM_JUDGE" if traced.by_model else "CODE", judge)
    by_rules = AssessmentSource("CODE", "reading rules")
    found = (
        ("verdict", row["label"], by_judge, rationale(row)),
        ("refusal", row["refusal"], by_judge if traced.told_refusal else by_rules, None),
        ("comprehension", row["comprehended"], by_judge, None),
        ("score", row["score"], by_judge, None),
        ("correct", row.get("correct"), by_judge, None),
    )
    origin = {"mlflow.assessment.sourceRunId": target.run}
    for name, value, source, why in found:
        if value is not None:
            yield Feedback(name=name, value=value, source=source, rationale=why, metadata=origin)


def rationale(row: Mapping[str, Any]) -> str | None:
    """Why the verdict is what it is: the judge's own reply; else what it noted."""
    told = [f"{key}: {value}" for key, value in (row.get("judge_details") or {}).items()]
    return neutral(row.get("judge_reply") or "\n".join([*told, *row["flags"]])) or None
