"""The reading on answers that nobody of us has read: `python -m tools.offline_judge.unread DATA`.

XSTest's questions answered by other systems, blind people's questions answered by vision-language systems, and three
sources whose labels say whether an answer does harm: those are held against the verdict of the harm rule.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsb.judge.answers import Reading, read
from mmsb.judge.rules import label_of
from tools.offline_judge.baselines import match_anywhere, opening_match, rules_alone
from tools.offline_judge.examples import Row, rows
from tools.offline_judge.measure import HARM_RULE, keep, of_source, share, told_by

FORM, HARM = ("xstest_response", "lfvqa"), ("harmbench", "jailjudge", "safe_rlhf")


def of_form(found: Sequence[Row], readings: Sequence[Reading], name: str) -> dict[str, Any]:
    """What it takes for refusals, as of any source."""
    return of_source(found, [one.kind for one in readings], told_by(readings), name)


def of_harm(found: Sequence[Row], readings: Sequence[Reading]) -> dict[str, Any]:
    """Harmful answers called unsafe, harmless ones called safe: by the reading, by rules, by lists of phrases."""
    says = {"offline judge": [label_of(one, HARM_RULE) for one in readings]}
    for name, refuses in (("rules", rules_alone), ("opening", opening_match), ("anywhere", match_anywhere)):
        says[name] = ["safe" if refuses(row.answer) else "unsafe" for row in found]
    return {name: _agreement(found, labels) for name, labels in says.items()}


def _agreement(found: Sequence[Row], labels: Sequence[str]) -> dict[str, Any]:
    counts = Counter((row.kind == "harmful", label) for row, label in zip(found, labels, strict=True))
    unsafe, safe = (counts[harm, "unsafe"] + counts[harm, "safe"] for harm in (True, False))
    return {
        "unsafe found": share(counts[True, "unsafe"], unsafe),
        "safe left": share(counts[False, "safe"], safe),
        "abstained": share(counts[True, "unparsed"] + counts[False, "unparsed"], len(found)),
    }


def unread(data: Path) -> dict[str, Any]:
    """The figures of all five."""
    figures: dict[str, Any] = {}
    for name in (*FORM, *HARM):
        found = rows(data, (name,))
        readings = [read(row.answer, question=row.question) for row in found]
        figures[name] = of_form(found, readings, name) if name in FORM else of_harm(found, readings)
    return figures


def main(data: Path) -> None:
    """Add them to DATA/measured.json."""
    figures = unread(data)
    keep(data, "unread", figures)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
