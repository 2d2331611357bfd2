"""A run's settings and rates, and a sweep's comparison, in the plain forms that MLflow takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mmsb.cost import COUNTS, NO_COST, a_sample, price
from mmsb.digest import digest
from mmsb.metrics import declared
from mmsb.metrics.declared import side_by_side
from mmsb.metrics.summary import not_rated
from mmsb.prices import money
from mmsb.run import SavedRun, flatten, short_name, told_apart

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

LONGEST_VALUE = 6_000  # characters MLflow keeps of a parameter
LONGEST_NAME = 250
# Not what a run is about: definitions that are the same everywhere, and where things lie. run.json has them.
LEFT_OUT = ("_target_", "output_dir", "prices", "scenario", "tracker", "trusted_packages")
SIZE, MISSING, SO_FAR = "n", "not rated", "micro ASR"  # names of metrics
RUNS, FAILED = "runs", "failed calls"
OF_SWEEPS = (declared.ASR, declared.FALSE_REFUSALS, declared.ACCURACY)  # what a sweep is known by: the ends of these


def parameters(
    choices: Mapping[str, str], config: Mapping[str, Any], defenses: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The option of each config group, and each setting by its dotted key.

    Args:
        choices: the options.
        config: the settings.
        defenses: what determines each defense, as the run's record has it; None while that is not known.
    """
    values = {key: value for key, value in config.items() if key not in LEFT_OUT}
    # What a defense's settings leave open may stand in a file. MLflow lets no parameter be changed, so it is not given
    # before it is known.
    made = dict(flatten({"defense": defenses or {}}))
    settings = {
        key: made.get(key) if value is None else value
        for key, value in flatten(values)
        if value is not None or defenses is not None or not key.startswith("defense.")
    }
    chosen = {key: value for key, value in choices.items() if key not in ("tracker", "prices", "experiment")}
    # The option's name goes over the settings below it: MLflow sorts and compares by it.
    found = settings | chosen | {"scenario": ",".join(config.get("scenario") or {})}
    return {sane_name(key): cut(str(value)) for key, value in found.items()}


def sane_name(name: str) -> str:
    """A name of the characters MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:LONGEST_NAME]


def cut(value: str) -> str:
    """A value of the length MLflow allows; what is cut off is told apart by its digest."""
    if len(value) <= LONGEST_VALUE:
        return value
    return f"{value[: LONGEST_VALUE - 60]} ... ({len(value):,} characters, {digest(value)})"


def headline(metrics: Mapping[str, float]) -> dict[str, float]:
    """The few numbers that a run is known by, in the order of interest, which MLflow keeps.

    Its columns show about seven letters of a name, so what tells two apart comes first. Intervals and scenarios
    stand in the run's tables.
    """
    found = {_name(metric, scope): metrics.get(metric.key(scope)) for metric, scope, _ in side_by_side()}
    found[SO_FAR] = metrics.get(declared.ASR.key("micro"))
    rates = {name: round(value, 4) for name, value in found.items() if value is not None}
    return rates | {SIZE: metrics["n/total"], MISSING: float(not_rated(metrics))}


def headline_names() -> list[str]:
    """The names of the rates among these, whichever a run has."""
    return [_name(metric, scope) for metric, scope, _ in side_by_side()]


def _name(metric: declared.Metric, scope: str) -> str:
    return sane_name(f"{scope} {metric.title}" if len(metric.in_sweeps) > 1 else metric.title)


def spent(cost: Mapping[str, Any]) -> dict[str, float]:
    """What a run cost in all, as few numbers; what nobody counted or knows the price of is in none of them."""
    if not cost["lines"]:
        return {}
    found = price(cost)
    names = ("calls", "input_tokens", "output_tokens", "seconds", "dollars")
    failed = {FAILED: found["failed"]} if found["failed"] else {}
    return {name.replace("_", " "): value for name in names if (value := found[name]) is not None} | failed


def cost_table(cost: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """What each stage, role and model of a run cost: columns and rows."""
    columns = ["stage", "role", "model", *COUNTS]
    return columns, [["-" if line[name] is None else line[name] for name in columns] for line in cost["lines"]]


def bill(cost: Mapping[str, Any]) -> str:
    """A run's cost in money, in words; empty where nothing has a price."""
    known = [line["dollars"] for line in cost["lines"] if line["dollars"] is not None]
    if not known:
        return ""
    rest = f", without {', '.join(cost['unpriced'])}, whose price is not known" if cost["unpriced"] else ""
    return f"; in all {money(sum(known))} at the prices of {cost['prices']}{rest}"


def of_sweep(runs: Sequence[SavedRun]) -> dict[str, float]:
    """What a sweep is known by: the ends of its rates, how much it asked, and what that cost in all."""
    ends: dict[str, float] = {}
    for metric in OF_SWEEPS:
        # Runs of harmless questions have no attack success; 0 would be the lowest.
        key = metric.key("macro")
        # A test has refusals too; its questions are not those whose refusals are meant.
        meant = [run for run in runs if metric is not declared.FALSE_REFUSALS or "n/tested" not in run.metrics]
        if rates := [run.metrics[key] for run in meant if key in run.metrics]:
            ends |= {f"highest {metric.title}": round(max(rates), 4), f"lowest {metric.title}": round(min(rates), 4)}
    return ends | {RUNS: len(runs), SIZE: sum(run.metrics["n/total"] for run in runs)} | spent_by_all(runs)


def spent_by_all(runs: Sequence[SavedRun]) -> dict[str, float]:
    """What runs cost together; what is not known of one of them is not known of all."""
    costs = [spent(run.values["record"].get("cost", NO_COST)) for run in runs]
    known = [name for name in (costs[0] if costs else {}) if all(name in one for one in costs)]
    failed = sum(one.get(FAILED, 0) for one in costs)
    return {name: sum(one[name] for one in costs) for name in known} | ({FAILED: failed} if failed else {})


def dataset_input(run: SavedRun) -> DatasetInput:
    """The dataset of a run as MLflow's input: its name, and the digest of everything it showed."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    record = run.values["record"]["dataset"]
    root = (run.values["config"].get("dataset") or {}).get("root")
    source = json.dumps({"uri": str(root or record["name"])})
    profile = json.dumps({"num_rows": record["samples"]})
    dataset = Dataset(record["name"], record["digest"], "local", source, None, profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "evaluation")])


def rates_table(metrics: Mapping[str, float]) -> tuple[list[str], list[list[Any]]]:
    """A run's rates by scenario and average, with their intervals and bounds: columns and rows."""
    shown = [metric for metric in declared.METRICS if any(key.startswith(f"{metric.name}/") for key in metrics)]
    scopes = list(dict.fromkeys(scope for metric in shown for scope in _scopes(metric.name, metrics)))
    found: dict[str, Sequence[Any]] = {"scenario": scopes}
    for metric in shown:
        found |= _columns(metric.title, [(metrics, metric.key(scope)) for scope in scopes])
    return _table(found)


def _scopes(name: str, metrics: Mapping[str, float]) -> list[str]:
    keys = [key.partition("/")[2] for key in metrics if key.startswith(f"{name}/")]
    return [key for key in keys if f"{name}/{key}_low" in metrics]


def comparison(runs: Sequence[SavedRun]) -> tuple[list[str], list[list[Any]], str]:
    """A sweep's runs side by side: columns, rows, and the same as Markdown."""
    shown = [
        (key, heading)
        for metric, scope, heading in side_by_side()
        if any((key := metric.key(scope)) in run.metrics for run in runs)
    ]
    headings, labels = told_apart([run.name for run in runs])
    found: dict[str, Sequence[Any]] = {
        heading: [label[number] for label in labels] for number, heading in enumerate(headings)
    }
    for key, heading in shown:
        found |= _columns(heading, [(run.metrics, key) for run in runs])
    columns, rows = _table(found | {MISSING: [not_rated(run.metrics) for run in runs]})
    lines: list[list[Any]] = [columns, ["---"] * len(columns), *rows]
    text = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return columns, rows, text


def price_table(runs: Sequence[SavedRun]) -> tuple[list[str], list[list[Any]]]:
    """What a sample of each of a sweep's runs cost, preparations shared out: columns and rows."""
    headings, labels = told_apart([run.name for run in runs])
    spent = [a_sample(run.values["record"]) for run in runs]
    names = [name for name in COUNTS if any(one.get(name) for one in spent)]
    rows = [
        [*label, *("-" if (value := one.get(name)) is None else float(f"{value:.3g}") for name in names)]
        for label, one in zip(labels, spent, strict=True)
    ]
    return [*headings, *(name.replace("_", " ") for name in names)], rows


def by_scenario(runs: Sequence[SavedRun]) -> tuple[list[str], list[list[Any]]]:
    """A sweep's attack success by scenario, of the runs that have one: columns and rows."""
    name = declared.ASR.name
    rated = [run for run in runs if declared.ASR.key("macro") in run.metrics]
    scopes = list(dict.fromkeys(scope for run in rated for scope in _scopes(name, run.metrics)))
    found: dict[str, Sequence[Any]] = {"ASR": scopes}
    for run in rated:
        found |= _columns(short_name(run.name), [(run.metrics, declared.ASR.key(scope)) for scope in scopes])
    return _table(found)


def _columns(title: str, cells: Sequence[tuple[Mapping[str, float], str]]) -> dict[str, Sequence[Any]]:
    """Rates with their intervals; where one has bounds, a column of these beside.

    In one cell MLflow's table would cut them off: it shows about twenty letters, of a heading sixteen.
    """
    found: dict[str, Sequence[Any]] = {f"{title} %": [_percent(*cell) for cell in cells]}
    bounds = [_bounds(*cell) for cell in cells]
    return found | ({f"{title.removeprefix('ASR ')} bounds %": bounds} if any(one != "-" for one in bounds) else {})


def _table(columns: Mapping[str, Sequence[Any]]) -> tuple[list[str], list[list[Any]]]:
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def most_telling(runs: Sequence[SavedRun]) -> tuple[SavedRun, SavedRun] | None:
    """The two runs to look at first: of those that differ in one choice alone, if any, those furthest apart in ASR."""
    key = declared.ASR.key("macro")
    pairs = list(combinations([run for run in runs if key in run.metrics], 2))
    alone = [pair for pair in pairs if len(_differing(*pair)) == 1]
    return max(alone or pairs, key=lambda pair: abs(pair[0].metrics[key] - pair[1].metrics[key]), default=None)


def _differing(first: SavedRun, second: SavedRun) -> set[str]:
    """The config groups in which two runs chose differently; or the settings, where the choices are all the same."""
    choices, others = first.values["choices"], second.values["choices"]
    # An option that differs brings settings that differ: counting those too, no pair would differ in one thing.
    groups = {group for group in choices if choices[group] != others.get(group)}
    if groups:
        return groups
    config, other = (dict(flatten(run.values["config"])) for run in (first, second))
    return {name for name in config.keys() | other.keys() if config.get(name) != other.get(name)}


def _percent(metrics: Mapping[str, float], key: str) -> str:
    if key not in metrics:
        return "-"
    rate = f"{100 * metrics[key]:.1f} [{100 * metrics[f'{key}_low']:.1f}, {100 * metrics[f'{key}_high']:.1f}]"
    return rate + ("*" if f"{key}_scenarios_left_out" in metrics else "")


def _bounds(metrics: Mapping[str, float], key: str) -> str:
    """What the rate would be if none of what is not rated counted .. if all did."""
    if f"{key}_least" not in metrics:
        return "-"
    return f"{100 * metrics[f'{key}_least']:.1f} .. {100 * metrics[f'{key}_most']:.1f}"


def json_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as MLflow reads it."""
    return json.dumps({"columns": columns, "data": rows})


def table_tag(*files: str) -> tuple[str, str]:
    """The tag that tells MLflow's UI which artifacts are tables."""
    return "mlflow.loggedArtifacts", json.dumps([{"path": file, "type": "table"} for file in files])
