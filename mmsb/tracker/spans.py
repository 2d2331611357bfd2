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
from mmsb.prices import Prices
from mmsb.tracker.pictures import neutral
from mmsb.tracker.times import When, before
from mmsb.withholding import Withhold

if TYPE_CHECKING:
    from mlflow.entities import Span

ROOT = "sample"
WITHHELD = "[withheld]"
Shown = Callable[[str], str | None]  # a picture's identity -> its data URI, None where it cannot be made again


@dataclass(frozen=True, slots=True)
class Traced:
    """A sample with its calls.

    Attributes:
        id: of the trace, 32 hex digits.
        row: its row of the results, without what is withheld.
        calls: its calls, in the order in which they began, likewise (see `shown_of`).
        when: the times of these calls.
        image: the identity of its picture, as the dataset has it; None where there is none to show.
        shown: shows pictures.
        prices: what models cost.
        by_model: whether a model judged the answer.
        told_refusal: whether the judge said by itself if the answer refuses.
        target: the name of the model that is measured.
    """

    id: str
    row: Mapping[str, Any]
    calls: Sequence[Mapping[str, Any]]
    when: When
    image: str | None
    shown: Shown
    prices: Prices | None = None
    by_model: bool = False
    told_refusal: bool = False
    target: str = ""

    @property
    def failed(self) -> bool:
        """Whether it has no answer or no verdict because something failed."""
        return bool(self.row["label"] == "failed")

    @property
    def request(self) -> str:
        """The question, the same in every image mode and under every defense: MLflow lines two runs up by it."""
        repeat = f"#{self.row['repeat']}" if self.row["repeat"] else ""
        name = f"{self.row['scenario']}/{self.row['question_id']}{repeat}"
        return f"{name}: {neutral(self.row['question'])}" if "question" in self.row else name

    @property
    def response(self) -> str:
        """The answer, or what stood in its place."""
        row = self.row
        if "response" not in row:
            return WITHHELD
        return neutral(row["response"] if row["response"] is not None else f"[{row['cause']}: {row['message']}]")

    @property
    def dollars(self) -> Sequence[tuple[float, float] | None]:
        """What each call cost, for what it was given and for what came; None where nobody knows, or it was free."""
        return [
            self.prices.dollars(call["engine"], call["input_tokens"], call["output_tokens"])
            if self.prices and call["counted"] and "cause" not in call
            else None
            for call in self.calls
        ]

    @property
    def priced(self) -> bool:
        """Whether the cost of every call of a model is known: MLflow takes the sum of what it is told for the whole."""
        asked = [d for call, d in zip(self.calls, self.dollars, strict=True) if call["counted"] and "cause" not in call]
        return bool(asked) and None not in asked


def shown_of(call: Mapping[str, Any], row: Mapping[str, Any], withhold: Withhold) -> Mapping[str, Any]:
    """A call without what is withheld: what came back, and what it was shown where that may quote it.

    Args:
        call: as the run's record of calls has it.
        row: the sample's row, without what is withheld.
        withhold: what is.
    """
    if withhold == "nothing":
        return call
    gone = dict.fromkeys(("response", "reply", "message", "prompt", "system", "image"), None)
    # What the target is asked first is the dataset's and the defense's wording. Every other prompt may quote an answer.
    own = call["stage"] == "answer" and call["role"] is None and "prompt" in row
    kept = {key: call[key] for key in ("prompt", "system", "image")} if own else {}
    return {**call, **{key: value for key, value in gone.items() if key in call}, **kept, "withheld": True}


def spans(traced: Traced) -> Iterator[Span]:
    """The root and its children."""
    root = {
        "mlflow.spanType": "CHAIN",
        # Not what was sent, which differs from mode to mode: MLflow compares two runs by this text.
        "mlflow.spanInputs": _messages(traced, traced.request, None, traced.image),
        "mlflow.spanOutputs": _choices(traced.response),
    }
    if "prompt" in traced.row:
        root["prompt"] = neutral(traced.row["prompt"])
    if traced.when.seconds is None:
        root["times"] = "not known: answers came from the store"
    yield _span(traced, 0, ROOT, traced.when.whole, root, failed=traced.failed)
    spent, whole = traced.dollars, traced.priced
    for number, call in enumerate(traced.calls):
        about = _reading(call) if _is_reading(call) else _asked(traced, call) | _cost(spent[number], whole)
        yield _span(traced, number + 1, name(call), traced.when.calls[number], about, failed="cause" in call)


def _cost(dollars: tuple[float, float] | None, whole: bool) -> dict[str, Any]:
    """What a call cost, as MLflow wants it; under a name of our own where the sample's other calls have no price."""
    if dollars is None:
        return {}
    if not whole:  # MLflow would add it up to a trace's cost that leaves out the others
        return {"dollars": sum(dollars)}
    return {"mlflow.llm.cost": cost_of([dollars])}


def cost_of(dollars: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Costs as MLflow takes them, summed up."""
    given, came = (sum(part) for part in zip(*dollars, strict=True))
    return {"input_cost": given, "output_cost": came, "total_cost": given + came}


def name(call: Mapping[str, Any]) -> str:
    """What a call was for: its role; else "target" for the sample's own question, "judge", or "reading"."""
    if _is_reading(call):
        return "reading"
    return str(call["role"] or ("judge" if call["stage"] == "judge" else "target"))


def _is_reading(call: Mapping[str, Any]) -> bool:
    """Whether it was an answer read by rules: no model was asked."""
    return not call["counted"] and (call["reply"] is not None or "withheld" in call)


def _reading(call: Mapping[str, Any]) -> dict[str, Any]:
    kind = {"mlflow.spanType": "EVALUATOR" if call["stage"] == "judge" else "GUARDRAIL"}
    if "withheld" in call:
        return kind
    found, flags, _ = json.loads(call["response"])
    return kind | {
        "mlflow.spanInputs": {"answer": neutral(call["reply"]), "ended with": call["prompt"]},
        "mlflow.spanOutputs": {"kind": found, "flags": flags},
    }


def _asked(traced: Traced, call: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "mlflow.spanType": _kind(traced, call),
        "mlflow.llm.model": call["engine"],
    }
    if call["prompt"] is not None:
        shown = _messages(traced, neutral(call["prompt"]), call["system"], call["image"], call["reply"])
        attributes["mlflow.spanInputs"] = shown
    if "cause" in call:
        told = WITHHELD if "withheld" in call else neutral(call["message"])
        return attributes | {"mlflow.spanOutputs": {"failed": call["cause"], "message": told}}
    said = WITHHELD if "withheld" in call else neutral(call["response"])
    attributes |= {"mlflow.spanOutputs": _choices(said), "finish": call["finish"]}
    if before(call):
        attributes |= {"answered before": True, "seconds when it was asked": call["seconds"]}
    if call["input_tokens"] is not None and call["output_tokens"] is not None:
        usage = {"input_tokens": call["input_tokens"], "output_tokens": call["output_tokens"]}
        attributes["mlflow.chat.tokenUsage"] = usage | {"total_tokens": sum(usage.values())}
    return attributes


def _kind(traced: Traced, call: Mapping[str, Any]) -> str:
    """A defense's own helpers are guardrails; the target, asked by a defense or not, is a chat model."""
    if call["stage"] == "judge":
        return "EVALUATOR"
    return "CHAT_MODEL" if call["role"] is None or call["engine"] == traced.target else "GUARDRAIL"


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
