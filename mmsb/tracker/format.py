"""A run's settings and a sweep's comparison in the plain forms that MLflow takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsb.digest import digest
from mmsb.metrics.declared import side_by_side
from mmsb.metrics.summary import not_rated
from mmsb.run import Run

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

LONGEST_VALUE = 6_000  # characters MLflow keeps of a parameter
LONGEST_NAME = 250
# Not what a run is about: definitions that are the same everywhere, and where things lie. config.yaml has them.
LEFT_OUT = ("_target_", "output_dir", "prices", "scenario", "tracker", "trusted_packages")
AVERAGES = ("macro", "micro", "harm", "policy")
ENDS = ("_low", "_high", "_least", "_most")


def parameters(run: Run) -> dict[str, str]:
    """The option of each config group, and each setting by its dotted key."""
    values = {key: value for key, value in run.config.items() if key not in LEFT_OUT}
    choices = {key: value for key, value in run.choices.items() if key not in ("tracker", "prices", "experiment")}
    found = dict(flatten(values)) | choices | {"scenario": ",".join(run.config.get("scenario", {}))}
    return {sane_name(key): cut(str(value)) for key, value in found.items()}


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as pairs of dotted key and value; a list is one value."""
    if not isinstance(value, Mapping):
        yield key, json.dumps(value) if isinstance(value, list) else value
        return
    for name, inner in value.items():
        if name != "_target_":
            yield from flatten(inner, f"{key}.{name}".lstrip("."))


def sane_name(name: str) -> str:
    """A name of the characters MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:LONGEST_NAME]


def cut(value: str) -> str:
    """A value of the length MLflow allows; what is cut off is told apart by its digest."""
    if len(value) <= LONGEST_VALUE:
        return value
    return f"{value[: LONGEST_VALUE - 60]} ... ({len(value):,} characters, {digest(value)})"


def averages_first(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
    """Metrics in the order of interest, which MLflow keeps: averages, scenarios, then the ends of the intervals.

    The ends go under `interval/`: beside the rates they would fill two thirds of every list of columns and charts.
    """
    ends = [(f"interval/{key}", value) for key, value in metrics.items() if key.endswith(ENDS)]
    rates = [(key, value) for key, value in metrics.items() if not key.endswith(ENDS)]
    return sorted(rates, key=lambda item: not item[0].partition("/")[2].startswith(AVERAGES)) + ends


def dataset_input(run: Run) -> DatasetInput:
    """The dataset of a run as MLflow's input: its name, and the digest of everything it showed."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    record = run.record["dataset"]
    source = json.dumps({"uri": str(run.config["dataset"].get("root", record["name"]))})
    profile = json.dumps({"num_rows": record["samples"]})
    dataset = Dataset(record["name"], record["digest"], "local", source, None, profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "evaluation")])


def comparison(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]], str]:
    """A sweep's runs side by side: columns, rows, and the same as Markdown."""
    shown = [(metric.key(scope), heading) for metric, scope, heading in side_by_side()]
    columns = ["run", *(f"{heading} %" for _, heading in shown), "not rated"]
    rows = [
        [run["name"], *(_percent(run["metrics"], key) for key, _ in shown), not_rated(run["metrics"])] for run in runs
    ]
    lines = [columns, ["---"] * len(columns), *rows]
    text = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return columns, rows, text


def _percent(metrics: Mapping[str, float], key: str) -> str:
    if key not in metrics:
        return "-"
    rate = f"{100 * metrics[key]:.1f} [{100 * metrics[f'{key}_low']:.1f}, {100 * metrics[f'{key}_high']:.1f}]"
    if f"{key}_least" in metrics:
        rate += f" ({100 * metrics[f'{key}_least']:.1f} .. {100 * metrics[f'{key}_most']:.1f} with what is not rated)"
    return rate + ("*" if f"{key}_scenarios_left_out" in metrics else "")


def json_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as MLflow reads it."""
    return json.dumps({"columns": columns, "data": rows})


def table_tag(*files: str) -> tuple[str, str]:
    """The tag that tells MLflow's UI which artifacts are tables."""
    return "mlflow.loggedArtifacts", json.dumps([{"path": file, "type": "table"} for file in files])
