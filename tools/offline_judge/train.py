"""Train the offline judge's reading: `python -m tools.offline_judge.train DATA`.

DATA is what `tools.offline_judge.obtain` wrote. Deterministic: the same data give the same weights. What is trained
on, and what never is: docs/calibration.md.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mmsb.judge import features, trained
from tools.offline_judge.examples import (
    CLASS,
    ROWS,
    Row,
    balanced,
    frequent,
    hashed,
    held_out,
    lexicon_of,
    matrix,
    rows,
    seen,
    temperature_of,
    trained_on,
)

TRAINED_ON = ("xstest", "msts", "jailbreakbench", "refusalbench", "ours")
SENTENCES = Path(__file__).with_name("sentences.json")
ENGLISH_SENTENCES = Path(__file__).with_name("english.json")
BEHAVIOUR = Path(__file__).parents[2] / "tests" / "judge_answers.json"  # what the reading must go on reading right
LEFT_OUT_KINDS = ("caution", "failed_attack")  # neither one nor the other; judged by a model for another thing
ABROAD_PENALTY, ABROAD_ROWS = 1e-3, 12
OUR_WEIGHT = 4.0  # of a sentence that we wrote


def english_rows(data: Path) -> list[Row]:
    """What the English reading is trained on."""
    found = [row for row in rows(data, TRAINED_ON) if row.kind not in LEFT_OUT_KINDS]
    ours = [json.loads(path.read_text(encoding="utf-8")) for path in (ENGLISH_SENTENCES, BEHAVIOUR)]
    return found + [
        Row("ours", kind, "en", "", answer, kind, True)
        for written in ours
        for kind, answers in written.items()
        for answer in answers
        if kind in CLASS and kind != "off_topic"
    ]


def abroad_rows(data: Path) -> list[Row]:
    """What the reading of other languages is trained on: people's labels, and sentences of ours."""
    found = [row for row in rows(data, TRAINED_ON, english=False) if row.kind not in LEFT_OUT_KINDS]
    written = json.loads(SENTENCES.read_text(encoding="utf-8"))
    ours = [
        Row("ours", kind, language, "", answer, kind, True)
        for language, kinds in written.items()
        for kind, answers in kinds.items()
        for answer in answers
    ]
    return [row for row in found if row.language in written] + ours


def english_matrices(found: list[Row]) -> tuple[dict[str, int], features.Hashes, list[Any], NDArray[np.int64]]:
    """Lexicon, known hashes, the matrices with and without question, and the classes."""
    what = seen(found)
    lexicon = lexicon_of(found, what.tokens)
    both = [hashed(what, lexicon, asked) for asked in (True, False)]
    known = frequent([*both[0], *both[1]], ROWS)
    matrices = [matrix(one, known, numbers) for one, numbers in zip(both, what.dense, strict=True)]
    return lexicon, known, matrices, np.array([CLASS[row.kind] for row in found])


def abroad_matrix(found: list[Row]) -> tuple[features.Hashes, Any, NDArray[np.int64]]:
    """Known hashes, matrix and classes of answers in other languages."""
    from mmsb.judge.thinking import final_answer

    texts = [final_answer(row.answer).lower() for row in found]
    hashes = [features.characters(text) for text in texts]
    known = frequent(hashes, ABROAD_ROWS)
    numbers = np.array([trained.abroad_dense(text, row.language) for text, row in zip(texts, found, strict=True)])
    return known, matrix(hashes, known, numbers), np.array([int(row.kind != "refusal") for row in found])


def with_ours(found: list[Row]) -> NDArray[np.float64]:
    """Each answer's weight; the few that we wrote count more than their number."""
    theirs = [row for row in found if row.source != "ours"]
    known = dict(zip(map(id, theirs), balanced(theirs), strict=True))
    return np.array([known.get(id(row), OUR_WEIGHT) for row in found])


def abroad_weights(found: list[Row]) -> NDArray[np.float64]:
    """Weights by which refusals and the rest count the same in each language."""
    sizes = Counter((row.language, row.kind == "refusal") for row in found)
    return np.array(
        [(OUR_WEIGHT if row.source == "ours" else 1.0) / sizes[row.language, row.kind == "refusal"] for row in found]
    )


def folds_of(found: list[Row], count: int = 4) -> list[str]:
    """Folds that no system is torn over."""
    order = {system: number for number, system in enumerate(sorted({row.system for row in found}))}
    return [str(order[row.system] % count) for row in found]


def temperature_from(
    scores: NDArray[np.float64], found: list[Row], classes: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    """The temperature that calibrates held-out scores [views, n, classes] of answers that people labelled."""
    people = np.array([row.source in ("xstest", "msts") for row in found])
    views = len(scores)
    return temperature_of(
        np.concatenate(scores[:, people]), np.tile(classes[people], views), np.tile(weights[people], views)
    )


def tensors(name: str, known: features.Hashes, coefficients: NDArray[np.float64], temperature: float) -> dict[str, Any]:
    """A regression as it is stored: hashes whose weights round to nothing are left out."""
    hashed_part, dense_part = coefficients[: len(known)], coefficients[len(known) :]
    kept = np.abs(hashed_part).max(axis=1) > 2e-3
    return {
        f"{name}.known": known[kept],
        f"{name}.hashed": hashed_part[kept].astype(np.float16),
        f"{name}.dense": dense_part.astype(np.float32),
        f"{name}.temperature": np.array([temperature], dtype=np.float32),
    }


def english_tensors(data: Path) -> dict[str, Any]:
    """The English regression and its list of words, trained."""
    found = english_rows(data)
    lexicon, known, both, classes = english_matrices(found)
    weights = with_ours(found)
    scores = held_out(both, classes, weights, folds_of(found), 4)
    temperature = temperature_from(scores, found, classes, weights)
    print(f"English: {len(found)} answers, {len(lexicon)} words, {len(known)} runs, temperature {temperature:.2f}")
    stored = tensors("english", known, trained_on(both, classes, weights, 4), temperature)
    return stored | {"lexicon": np.frombuffer("\n".join(lexicon).encode("ascii"), dtype=np.uint8).copy()}


def abroad_tensors(data: Path) -> dict[str, Any]:
    """The regression for other languages, trained."""
    found = abroad_rows(data)
    known, one, classes = abroad_matrix(found)
    weights = abroad_weights(found)
    scores = held_out([one], classes, weights, folds_of(found), 2, penalty=ABROAD_PENALTY)
    temperature = temperature_from(scores, found, classes, weights)
    print(f"other languages: {len(found)} answers, {len(known)} runs, temperature {temperature:.2f}")
    return tensors("abroad", known, trained_on([one], classes, weights, 2, ABROAD_PENALTY), temperature)


def save(stored: dict[str, Any]) -> None:
    """Write the weights into the package."""
    trained.WEIGHTS.parent.mkdir(exist_ok=True)
    save_file(
        stored, trained.WEIGHTS, {"format": "np", "license": "Apache-2.0; trained on data under CC BY 4.0 and MIT"}
    )
    print(f"{trained.WEIGHTS}: {trained.WEIGHTS.stat().st_size / 2**20:.2f} MiB")


def main(data: Path) -> None:
    """Train both."""
    save(english_tensors(data) | abroad_tensors(data))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
