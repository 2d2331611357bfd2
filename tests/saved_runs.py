"""Finished runs written by hand, for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson


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
    (folder / "run.json").write_text(json.dumps(record))
    return folder
