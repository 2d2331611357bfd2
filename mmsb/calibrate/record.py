"""The numbers of a calibration in a file, named by run, judge and labels. No file is written over."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from mmsb.calibrate.calibration import SHIPPED, Calibration, Report
from mmsb.digest import digest, digest_file

if TYPE_CHECKING:
    from collections.abc import Iterator


def save(calibration: Calibration, report: Report) -> Path:
    """Write the numbers.

    Returns:
        Their file: the one that holds these very numbers already, or a new one.
    """
    labels, fingerprint = calibration.labels or SHIPPED, dict(calibration.fingerprint())
    record = {
        "runs": [{"folder": str(run.folder), "id": run.id} for run in calibration.runs],
        "labels": {"file": str(labels), "digest": digest_file(labels)},
        "fingerprint": fingerprint,
        **asdict(report),
    }
    text = json.dumps(record, indent=1, default=str) + "\n"
    who = [*(run.folder.name for run in calibration.runs), report.judge, labels.stem]
    stem = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in who)
    key = digest([[run.id for run in calibration.runs], fingerprint, digest_file(labels), calibration.external])[:8]
    folder = calibration.output_dir / "calibrations"
    folder.mkdir(parents=True, exist_ok=True)
    for path in _paths(folder, f"{stem}_{key}"):
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            if path.read_text(encoding="utf-8") != text:
                continue
        return path
    raise AssertionError("there is always another number")


def _paths(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}.json"
    yield from (folder / f"{stem}_{number}.json" for number in count(2))
