"""The spans of a sample: a root with the question and the answer, and a child for every call on the way.

MLflow's trace view shows chat messages, with their pictures, where inputs have `messages` and outputs `choices`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsb.digest import digest
from mmsb.tracker.pictures import neutral

if TYPE_CHECKING:
    from mlflow.entities import Span

ROOT = "sample"
Shown = Callable[[str], str | None]  # a picture's identity -> its data URI, None where it cannot be made again


@dataclass(frozen=True, slots=True)
class Traced:
    """A sample with its calls.

    Attributes:
        id: of the trace, 32 hex digits.
        row: its row of the results.
        calls: its calls, in the order in which they began.
        image: the identity of its picture, as the dataset has it.
        shown: shows pictures.
        now: seconds since the epoch, for a sample without calls.
    """

    id: str
    row: Mapping[str, Any]
    calls: Sequence[Mapping[str, Any]]
    image: str | None
    shown: Shown
    now: float

    @property
    def started(self) -> float:
        """When its first call began, in seconds since the epoch."""
        return min((float(call["started"]) for call in self.calls), default=self.now)

    @property
    def ended(self) -> float:
        """When its last call ended."""
        return max((float(call["ended"]) for call in self.calls), default=self.now)

    @property
    def failed(self) -> bool:
        """Whether it has no answer or no verdict because something failed."""
        return bool(self.row["label"] == "failed")

    @property
    def request(self) -> str:
        """The question, the same in every image mode and under every defense: MLflow lines two runs up by it."""
        repeat = f"#{self.row['repeat']}" if self.row["repeat"] else ""
        return f"{self.row['scenario']}/{self.row['question_id']}{repeat}: {neutral(self.row['question'])}"

    @property
    def response(self) -> str:
        """The answer, or what stood in its place."""
        row = self.row
        return neutral(row["response"] if row["response"] is not None else f"[{row['cause']}: {row['message']}]")


def spans(traced: Traced) -> Iterator[Span]:
    """The root and its children."""
    root = {
        "mlflow.spanType": "CHAIN",
        "mlflow.spanInputs": _messages(traced, traced.request, None, traced.image),
        "mlflow.spanOutputs": _choices(traced.response),
        "prompt": neutral(traced.row["prompt"]),
    }
    yield _span(traced, 0, ROOT, (traced.started, traced.ended), root, failed=traced.failed)
    for number, call in enumerate(traced.calls, 1):
        yield _span(
            traced,
            number,
            name(call),
            (float(call["started"]), float(call["ended"])),
            _reading(call) if _is_reading(call) else _asked(traced, call),
            failed=call["response"] is None,
        )


def name(call: Mapping[str, Any]) -> str:
    """What a call was for: its role; else "target" for the sample's own question, "judge", or "reading"."""
    if _is_reading(call):
        return "reading"
    return str(call["role"] or ("judge" if call["stage"] == "judge" else "target"))


def _is_reading(call: Mapping[str, Any]) -> bool:
    """Whether it was an answer read by rules: no model was asked."""
    return not call["counted"] and call["reply"] is not None


def _reading(call: Mapping[str, Any]) -> dict[str, Any]:
    kind, flags, _ = json.loads(call["response"])
    return {
        "mlflow.spanType": "EVALUATOR" if call["stage"] == "judge" else "GUARDRAIL",
        "mlflow.spanInputs": {"answer": neutral(call["reply"]), "ended with": call["prompt"]},
        "mlflow.spanOutputs": {"kind": kind, "flags": flags},
    }


def _asked(traced: Traced, call: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "mlflow.spanType": _kind(traced, call),
        "mlflow.spanInputs": _messages(traced, neutral(call["prompt"]), call["system"], call["image"], call["reply"]),
        "mlflow.llm.model": call["engine"],
    }
    if call["response"] is None:
        return attributes | {"mlflow.spanOutputs": {"failed": call["cause"], "message": neutral(call["message"])}}
    attributes |= {"mlflow.spanOutputs": _choices(neutral(call["response"])), "finish": call["finish"]}
    if call["ended"] - call["started"] < call["seconds"]:
        attributes |= {"answered before": True, "seconds when it was asked": call["seconds"]}
    if call["input_tokens"] is not None and call["output_tokens"] is not None:
        usage = {"input_tokens": call["input_tokens"], "output_tokens": call["output_tokens"]}
        attributes["mlflow.chat.tokenUsage"] = usage | {"total_tokens": sum(usage.values())}
    return attributes


def _kind(traced: Traced, call: Mapping[str, Any]) -> str:
    """A defense's own helpers are guardrails; the target, asked by a defense or not, is a chat model."""
    if call["stage"] == "judge":
        return "EVALUATOR"
    targets = {other["engine"] for other in traced.calls if other["stage"] == "answer" and other["role"] is None}
    return "CHAT_MODEL" if call["role"] is None or call["engine"] in targets else "GUARDRAIL"


def _messages(
    traced: Traced, text: str, system: str | None, image: str | None, reply: str | None = None
) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if image:
        data = traced.shown(image)
        shown = {"type": "image_url", "image_url": {"url": data}} if data else {"type": "text", "text": f"[{image}]"}
        content.append(shown)
    messages = [{"role": "system", "content": neutral(system)}] if system else []
    messages.append({"role": "user", "content": content if image else text})  # type: ignore[dict-item]
    return {"messages": [*messages, *([{"role": "assistant", "content": neutral(reply)}] if reply else [])]}


def _choices(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def _span(
    traced: Traced,
    number: int,
    name: str,
    time: tuple[float, float],
    attributes: Mapping[str, Any],
    *,
    failed: bool,
) -> Span:
    from mlflow.entities import Span

    start, end = (round(seconds * 1e9) for seconds in time)
    values = {"mlflow.traceRequestId": f"tr-{traced.id}", **attributes}
    return Span.from_dict(
        {
            "trace_id": base64.b64encode(bytes.fromhex(traced.id)).decode(),
            "span_id": _span_id(traced, number),
            "parent_span_id": _span_id(traced, 0) if number else None,
            "name": name,
            "start_time_unix_nano": start,
            "end_time_unix_nano": end,
            "status": {"code": "STATUS_CODE_ERROR" if failed else "STATUS_CODE_OK"},
            "attributes": {key: json.dumps(value) for key, value in values.items()},
        }
    )


def _span_id(traced: Traced, number: int) -> str:
    return base64.b64encode(bytes.fromhex(digest([traced.id, number])[:16])).decode()
