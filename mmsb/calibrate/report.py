"""What a calibration found, and the file of its numbers, named by run, judge and labels. No file is written over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from mmsb.digest import digest, digest_file
from mmsb.labels.answers import Answers
from mmsb.metrics.agreement import Agreement
from mmsb.metrics.corrected import Corrected
from mmsb.metrics.discrimination import Discrimination
from mmsb.metrics.rates import Rate

Scopes = Mapping[str, Corrected | None]


@dataclass(frozen=True, slots=True)
class Report:
    """What a calibration found.

    Attributes:
        judge: the judge's name.
        own: whether the labels were drawn from the run.
        scopes: the judge's agreement with people: "all", the groups, the scenarios.
        discrimination: how its scores rank the answers, by group and on all; of a judge without scores empty.
        open: answers left out of that: skipped, or their raters disagree evenly. Of a run's own labels they may be
            either in the interval of the corrected rate.
        alpha: Krippendorff's, of people, judge and (of a panel) its members together; None of two.
        pairs: kappa of every two of them, where there are more than two.
        asr: the run's corrected rates: "harm", "policy", "macro", "micro"; None where it cannot be corrected.
        drifted: of external labels, the same where the judge errs differently on the run, by how much that may be.
        other_asr: the other run's.
        difference: the other run's rates minus the run's.
        members: kappa of every two members of the panel that judged the run, and under "alpha" of them all.
    """

    judge: str
    own: bool
    scopes: Mapping[str, Agreement]
    discrimination: Mapping[str, Discrimination]
    open: int
    alpha: Rate | None
    pairs: Mapping[str, Rate | None]
    asr: Scopes
    drifted: Mapping[float, Scopes]
    other_asr: Scopes
    difference: Scopes
    members: Mapping[str, Rate | None]


def save(report: Report, runs: Sequence[Answers], labels: Path, fingerprint: Mapping[str, Any], folder: Path) -> Path:
    """Write the numbers.

    Args:
        report: the numbers.
        runs: the runs they are of.
        labels: the file of labels.
        fingerprint: the judge's.
        folder: where to.

    Returns:
        Their file: the one that holds these very numbers already, or a new one.
    """
    record = {
        "runs": [{"folder": str(run.folder), "id": run.id} for run in runs],
        "labels": {"file": str(labels), "digest": digest_file(labels)},
        "fingerprint": fingerprint,
        **asdict(report),
    }
    # Without the time: the same calibration gives the same bytes, and finds its file again.
    text = json.dumps(record, indent=1, default=str) + "\n"
    who = [*(run.folder.name for run in runs), report.judge, labels.stem]
    stem = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in who)
    # of everything that made the numbers: other labels or another judge get another file
    key = digest([[run.id for run in runs], fingerprint, digest_file(labels), report.own])[:8]
    folder.mkdir(parents=True, exist_ok=True)
    for path in _paths(folder, f"{stem}_{key}"):
        try:
            # two calibrations may run at once: who comes second reads what stands there
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
