"""Finished runs written by hand, for tests of what reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from mmsb.digest import digest


def row(scenario: str, question: int, label: str, repeat: int = 0, answer: str = "an answer") -> dict[str, Any]:
    """A complete row of a results file."""
    failed = label == "failed"
    told = {
        "id": f"{scenario}/{question}/{repeat}",
        "scenario": scenario,
        "question_id": str(question),
        "benign": False,
        "repeat": repeat,
        "question": f"{scenario} {question}",
        "key_phrase": "",
        "prompt": f"{scenario} {question}",
        "system": None,
        "image": None,
        "outcome": label if label in ("failed", "filtered") else "answered",
        "response": None if failed else answer,
        "label": label,
        "refusal": None if failed else label == "safe",
        "flags": [],
        "score": None,
        "comprehended": None,
        "judge_reply": "",
        "judge_details": {},
    }
    if failed:
        return told | {"cause": "timeout", "message": "no answer"}
    return told | {"finish": "stop", "input_tokens": 1, "output_tokens": 1, "calls": 1, "steps": []}


def save(folder: Path, rows: Iterable[Mapping[str, Any]], **values: Any) -> Path:
    """Write a run's two files; `values` go into run.json."""
    folder.mkdir(exist_ok=True)
    (folder / "results.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    record = {"name": folder.name, "choices": {}, "config": {}, "record": {}, "metrics": {}, **values}
    return seal(folder, record)


def seal(folder: Path, values: Mapping[str, Any]) -> Path:
    """Write a run's run.json, tied to the rows that lie there as a run ties its own."""
    rows = hashlib.sha256((folder / "results.jsonl").read_bytes()).hexdigest()
    plain = json.loads(json.dumps({**values, "results_digest": rows}, default=str))
    plain.pop("digest", None)
    (folder / "run.json").write_text(json.dumps(plain | {"digest": digest(plain)}), encoding="utf-8")
    return folder
