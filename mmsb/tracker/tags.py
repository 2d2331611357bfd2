"""The tags of a run's record in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsb.digest import digest
from mmsb.run import SavedRun
from mmsb.tracker.format import table_tag

# MITRE ATLAS: evade a model, access through its inference API, verify an attack, craft adversarial data.
TECHNIQUES = "AML.T0015, AML.T0040, AML.T0042, AML.T0043"
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#6cc5b0", "#ff8ab7", "#9c6b4e", "#97bbf5", "#9498a0")


def colour_of(folder: Path, parent: str | None) -> dict[str, str]:
    """Runs of a sweep in colours of their own; MLflow's may be the same for several."""
    if parent is None or not folder.name.isdigit():
        return {}
    return {"mlflow.runColor": COLOURS[int(folder.name) % len(COLOURS)]}


def _comparable(record: Mapping[str, Any]) -> str:
    """Whether the run may stand beside the paper, or the reasons why not."""
    decided = record.get("comparable", {"reasons": ["not decided"]})  # runs of before have none
    return "; ".join(decided["reasons"])[:8000] or "yes"


def tags_of(run: SavedRun) -> dict[str, str]:
    """Of a run: what was attacked, by which code, and whether it may stand beside the paper."""
    record: dict[str, Any] = run.values["record"]
    return {
        "mitre_atlas": TECHNIQUES,
        "mlflow.runType": "genai_evaluate",  # has it listed under evaluation runs, with its traces
        "mlflow.source.git.commit": str(record["environment"].get("commit")),
        "comparable": _comparable(record),
        **{f"fingerprint.{part}": digest(record[part]) for part in ("model", "judge", "defense")},
        **dict([table_tag("rates.json")]),
    }
