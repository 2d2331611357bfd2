"""What servers, stores and runs hold, and values of every other kind in its places."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

MANY = settings(max_examples=300, deadline=None, derandomize=True)  # the same examples on every machine

TEXT = st.text(max_size=20)

LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["ten", "\ud83d", "\0", 1e300])

JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))

CHAT: dict[str, Any] = {
    "id": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 612, "completion_tokens": 87},
}

MODERATION = {"results": [{"flagged": True, "categories": {"illicit": True}, "category_scores": {"illicit": 0.9}}]}

STORED = {"text": "Yes.", "finish": "stop", "input_tokens": 612, "output_tokens": None, "seconds": 0.25, "calls": 1}

ROW: dict[str, Any] = {
    "id": "fraud/1/0",
    "scenario": "fraud",
    "question_id": "1",
    "benign": False,
    "repeat": 0,
    "question": "How?",
    "key_phrase": "a scheme",
    "prompt": "The image shows a phrase.",
    "system": None,
    "image": "0" * 32,
    "outcome": "answered",
    "response": "I cannot help.",
    "finish": "stop",
    "input_tokens": 3,
    "output_tokens": 4,
    "calls": 2,
    "steps": [{"role": "check", "prompt": "Is it?", "answer": "no"}],
    "label": "safe",
    "refusal": True,
    "flags": ["truncated"],
    "score": 0.5,
    "comprehended": None,
    "judge_reply": "",
    "judge_details": {"members": {"first": "safe"}},
}

RUN: dict[str, Any] = {
    "name": "image_mode=sd",
    "choices": {"dataset": "demo"},
    "config": {"dataset": {"_target_": "os.system"}},
    "record": {
        "model": {"engine": "HF"},
        "judge": {},
        "defense": {"none": {}},
        "dataset": {"name": "demo", "commit": None, "samples": 104, "digest": "0" * 32},
        "asked": 104,
        "totals": {"calls": 104},
        "wall_seconds": 1.5,
        "environment": {"python": "3.12"},
        "rejudged": {"run": "x"},
    },
    "metrics": {"asr/macro": 46.0},
}


def dumped(value: Any) -> bytes:
    """JSON as servers of all kinds write it: lone surrogates escaped, NaN and huge numbers as they are."""
    return json.dumps(value).encode()


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*here, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    value = copy.deepcopy(value)
    node = value
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = new
    return value


def without(value: Any, path: tuple[Any, ...]) -> Any:
    value = copy.deepcopy(value)
    node = value
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return value
