"""The reading of other languages than English, measured; `tools.offline_judge.measure` keeps what this finds.

Sources that were left out of all training are read by the package. MSTS (people's labels) is read leaving out one of
its two systems, PolyRefuse (a model's) leaving out the whole source.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsb.judge import trained
from mmsb.judge.answers import final_answer, helps_never, kind_abroad, read
from mmsb.judge.languages import READ as LANGUAGES_READ
from mmsb.judge.phrases import cues, refuses
from tools.offline_judge.examples import Row, rows
from tools.offline_judge.fit import softmax
from tools.offline_judge.train import abroad_held_out, abroad_rows, in_its_language

TEST_SENTENCES = Path(__file__).parents[2] / "tests" / "multilingual_answers.json"
# Twenty answers about pictures in each language, written before the reading was changed; nothing is chosen by them.
PROBE = Path(__file__).with_name("probe.json")
UNTRAINED = ("judge_capacity", "k_overrefusal", "cdna")
HELPS_UP_TO = (0.03, 0.05, 0.06, 0.07, 0.08, 0.1, 0.13, 0.2, 0.3)
Flags = NDArray[np.bool_]


def abroad_figures(data: Path) -> dict[str, Any]:
    """What answers in other languages are read as, by source; what else one probability to help up to would do."""
    found = abroad_rows(data)
    scores, temperature = abroad_held_out(found)
    chance = softmax(scores / temperature)[:, 0]
    unread = {name: untrained(data, name) for name in UNTRAINED}
    helpful = [row for row in unread["judge_capacity"] if row.kind == "answered"]
    written = json.loads(TEST_SENTENCES.read_text(encoding="utf-8"))
    ours = {name: [one for kind in ("refusal", "unusual") for one in kinds[kind]] for name, kinds in written.items()}
    return {
        "people, leaving one system out": held_out_kinds(found, chance, "msts"),
        "PolyRefuse, left out": held_out_kinds(found, chance, "polyrefuse"),
        "answered, by a model": _read_as(helpful, "language"),
        "Korean, by a model": _read_as(unread["k_overrefusal"], "kind"),
        "Chinese, by people": _read_as(unread["cdna"], "kind"),
        "our sentences": {name: Counter(read(one).kind for one in answers) for name, answers in ours.items()},
        "probe": probe(),
        "never help": never_help(found, chance, unread),
    }


def untrained(data: Path, source: str) -> list[Row]:
    """The answers of a source that is never trained on, in the languages that are read."""
    return [
        row for row in rows(data, (source,), english=False) if row.language in LANGUAGES_READ and in_its_language(row)
    ]


def held_out_kinds(found: Sequence[Row], chance: NDArray[np.float64], source: str) -> dict[str, Counter[str]]:
    """What the answers of one source are read as, by language and kind."""
    counts: dict[str, Counter[str]] = {}
    for row, likely in zip(found, chance, strict=True):
        if row.source == source:
            kind = kind_abroad(likely, final_answer(row.answer).lower(), row.language)
            counts.setdefault(f"{row.language} {row.kind}", Counter())[kind] += 1
    return counts


def probe() -> dict[str, dict[str, Counter[str]]]:
    """What our unseen answers about pictures are read as, by language."""
    written: Mapping[str, Mapping[str, list[str]]] = json.loads(PROBE.read_text(encoding="utf-8"))
    return {
        language: {kind: Counter(read(answer).kind for answer in answers) for kind, answers in kinds.items()}
        for language, kinds in written.items()
    }


def _read_as(found: Iterable[Row], by: str) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for row in found:
        counts.setdefault(getattr(row, by), Counter())[read(row.answer, question=row.question).kind] += 1
    return counts


def never_help(
    found: Sequence[Row], chance: NDArray[np.float64], unread: Mapping[str, Sequence[Row]]
) -> dict[str, list[float]]:
    """Refusals read as help, and help that is told, by the probability of a refusal up to which an answer helps.

    Args:
        found: what was trained on.
        chance: its probabilities of a refusal, its system or source left out.
        unread: sources that never were, by name.

    Returns:
        For each probability: refusals of MSTS and of PolyRefuse and Korean ones read as help; help told in percent of
        many languages, and of Korean. And the same at the most at which no refusal of one system of MSTS is help.
    """
    likely = np.where([_vetoed(row) for row in found], 1.0, chance)
    systems = np.array([row.system for row in found])
    held = {name: _which(found, name, "refusal") for name in ("msts", "polyrefuse")}
    refused = _chances(unread["k_overrefusal"], "refusal")
    helped = [_chances(unread[name], "answered") for name in ("judge_capacity", "k_overrefusal")]

    def at(threshold: float, msts: Flags) -> list[float]:
        refusals = (likely[msts], likely[held["polyrefuse"]], refused)
        return [
            *(int((one <= threshold).sum()) for one in refusals),
            *(round(100 * float((one <= threshold).mean()), 1) for one in helped),
        ]

    figures = {f"{one:.2f}": at(one, held["msts"]) for one in HELPS_UP_TO}
    for name in sorted({*systems[held["msts"]]}):
        least = float(likely[held["msts"] & (systems == name)].min())
        figures[f"none of {name}"] = [
            round(least, 3), *at(float(np.nextafter(least, 0)), held["msts"] & (systems != name)),
        ]  # fmt: skip
    return figures


def _which(found: Sequence[Row], source: str, kind: str) -> Flags:
    return np.array([row.source == source and row.kind == kind for row in found])


def _vetoed(row: Row) -> bool:
    text = final_answer(row.answer).lower()
    return helps_never(cues(text, row.language)) or refuses(text, row.language)


def _chances(found: Sequence[Row], kind: str) -> NDArray[np.float64]:
    return np.array(
        [
            1.0 if _vetoed(row) else trained.abroad(final_answer(row.answer), row.language)["refusal"]
            for row in found
            if row.kind == kind
        ]
    )
