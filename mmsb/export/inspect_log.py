"""Runs as logs of Inspect (https://inspect.aisi.org.uk, log version 2), so that its viewer opens them.

An .eval file is a zip of JSON: `header.json` (the log without its samples), `samples/ID_epoch_N.json`, and
`summaries.json`. It is written here without Inspect, and tested with Inspect's own reader.
"""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from mmsb import __version__
from mmsb.digest import digest
from mmsb.errors import MmsbError
from mmsb.report.columns import Column
from mmsb.report.pictures import Recorded, original
from mmsb.results import read_rows
from mmsb.types import Label

VERSION = 2
SCORED: tuple[Label, ...] = ("safe", "unsafe")  # an answer without such a verdict stays unscored
STOPS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}
SCOPES = ("macro", "harm", "policy")
LONGEST_SUMMARY = 1_000  # characters, as Inspect cuts them
METADATA = ("scenario", "question_id", "benign", "key_phrase", "label", "refusal", "flags", "comprehended", "steps")

Row = Mapping[str, Any]


def write_logs(columns: Sequence[Column], folder: Path) -> str:
    """Write one .eval file a run.

    Returns:
        How to look at them.
    """
    for number, column in enumerate(columns):
        name = re.sub(r"[^\w.+-]+", "_", column.label).strip("_")
        _write_log(column, folder / f"{number:03}_{name}.eval")
    return f"inspect view --log-dir {folder}"


def _write_log(column: Column, path: Path) -> None:
    run = Recorded(column.run.folder, values=column.run.values)
    model, judge = column.facets["model"], column.facets["judge"]
    summaries: list[dict[str, Any]] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        header = _header(column)
        start = {key: header[key] for key in ("version", "eval", "plan")}
        archive.writestr("_journal/start.json", orjson.dumps(start))
        for row in read_rows(column.rows):
            sample = _sample(row, model, judge, _picture(run, row))
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", orjson.dumps(sample))
            summaries.append(_summary(sample, row))
        archive.writestr("summaries.json", orjson.dumps(summaries))
        archive.writestr("header.json", orjson.dumps(header))


def _header(column: Column) -> dict[str, Any]:
    values, facets = column.run.values, column.facets
    record, metrics = values["record"], column.run.metrics
    samples = int(metrics.get("n/total", 0))
    identity = digest([column.label, values["config"], record.get("dataset")])[:22]
    # The rows' own time, so that a run that is exported twice has one date.
    ended = column.rows.stat().st_mtime
    made = datetime.fromtimestamp(ended, UTC).isoformat()
    spec = {
        "created": made,
        "task": f"mmsb/{facets['dataset']}/{facets['image_mode']}",
        "eval_id": identity,
        "run_id": identity,
        "task_id": identity,
        "dataset": {"name": facets["dataset"], "samples": samples},
        "model": facets["model"],
        "config": {},
        "packages": {"mmsb": __version__},
        "task_args": dict(facets),
        "metadata": {"run": column.label, "choices": values["choices"]},
        "scorers": [{"name": facets["judge"]}],
    }
    score = {"name": facets["judge"], "scorer": facets["judge"], "metrics": _metrics(metrics)}
    results = {
        "total_samples": samples,
        "completed_samples": samples - int(metrics.get("n/failed", 0)),
        "scores": [score],
    }
    began = datetime.fromtimestamp(ended - float(record.get("wall_seconds") or 0), UTC).isoformat()
    stats: dict[str, Any] = {"started_at": began, "completed_at": made}
    if usage := _usage(read_rows(column.rows)):
        stats["model_usage"] = {facets["model"]: usage}
    return {
        "version": VERSION,
        "status": "success",
        "eval": spec,
        "plan": {"name": facets["defense"]},
        "results": results,
        "stats": stats,
    }


def _metrics(metrics: Mapping[str, float]) -> dict[str, Any]:
    """The averages, their intervals and bounds; the paper's average first, since the viewer's table shows the first."""
    kept = [key for scope in SCOPES for key in metrics if key.partition("/")[2].partition("_")[0] == scope]
    return {key: {"name": key, "value": metrics[key]} for key in kept}


def _picture(run: Recorded, row: Row) -> str | None:
    """The picture as a data URL."""
    try:
        picture = original(run, row) if row["image"] else None
        if picture is None:
            return None
        data, media = picture.encoded()
    except MmsbError:
        return None
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _sample(row: Row, model: str, judge: str, picture: str | None) -> dict[str, Any]:
    content: list[dict[str, str]] = [{"type": "text", "text": row["prompt"]}]
    if picture:
        content.insert(0, {"type": "image", "image": picture})
    asked: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if row["system"]:
        asked.insert(0, {"role": "system", "content": row["system"]})
    sample: dict[str, Any] = {
        # Inspect numbers repeats as epochs of one sample.
        "id": row["id"].removesuffix(f"#{row['repeat']}"),
        "epoch": row["repeat"] + 1,
        "input": asked,
        "target": "safe",
        "messages": asked,
        "output": {"model": model, "choices": []},
        "metadata": {key: row.get(key) for key in METADATA} | {"question": row["question"]},
    }
    if row["outcome"] == "failed":
        problem = f"{row['cause']}: {row['message']}"
        # No output and an error: Inspect then counts the sample as not completed, never as an answer.
        sample["error"] = {"message": problem, "traceback": problem, "traceback_ansi": problem}
    else:
        answer = {"role": "assistant", "content": row["response"], "model": model}
        sample["messages"] = [*asked, answer]
        sample["output"] = _output(row, model, answer)
        if usage := sample["output"].get("usage"):
            sample["model_usage"] = {model: usage}
    if row["label"] in SCORED:
        sample["scores"] = {judge: _score(row)}
    return sample


def _output(row: Row, model: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    output = {"model": model, "choices": [{"message": answer, "stop_reason": STOPS.get(row["finish"], "unknown")}]}
    return output | ({"usage": usage} if (usage := _usage([row])) else {})


def _usage(rows: Iterable[Row]) -> dict[str, int]:
    """The tokens of some rows; nothing where they were not counted, which is not the same as none."""
    counts = [(row.get("input_tokens"), row.get("output_tokens")) for row in rows if row["outcome"] != "failed"]
    if not counts or any(None in pair for pair in counts):
        return {}
    given, taken = (sum(part) for part in zip(*counts, strict=True))
    return {"input_tokens": given, "output_tokens": taken, "total_tokens": given + taken}


def _score(row: Row) -> dict[str, Any]:
    about = {"refusal": row["refusal"], "score": row["score"], **row["judge_details"]}
    return {
        "value": row["label"],
        "answer": row["response"],
        "explanation": row["judge_reply"] or None,
        "metadata": about,
    }


def _summary(sample: Mapping[str, Any], row: Row) -> dict[str, Any]:
    kept = {key: sample[key] for key in ("id", "epoch", "target") if key in sample}
    kept |= {"input": row["prompt"][:LONGEST_SUMMARY], "completed": True, "message_count": len(sample["messages"])}
    kept["metadata"] = {key: row.get(key) for key in ("scenario", "label", "refusal", "benign")}
    if "scores" in sample:
        kept["scores"] = {
            judge: {"value": score["value"], "answer": score["answer"][:LONGEST_SUMMARY]}
            for judge, score in sample["scores"].items()
        }
    if "model_usage" in sample:
        kept["model_usage"] = sample["model_usage"]
    if "error" in sample:
        kept["error"] = sample["error"]["message"]
    return kept
