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
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mmsb.judge import features, trained
from mmsb.judge.answers import helps_never
from mmsb.judge.languages import language_of
from mmsb.judge.phrases import cues
from mmsb.judge.thinking import final_answer
from tools.offline_judge.examples import (
    CLASS,
    ROWS,
    Row,
    balanced,
    frequent,
    hashed,
    lexicon_of,
    matrix,
    rows,
    seen,
    temperature_of,
    trained_on,
)
from tools.offline_judge.fit import fit

TRAINED_ON = ("xstest", "msts", "jailbreakbench", "refusalbench", "chatgpt_refusals", "gptfuzz", "ours")
TRAINED_ON_ABROAD = ("msts", "polyrefuse", "xchat", "mt_bench", "ko_mt_bench", "pt_llms")
MOST_POLYREFUSE = 200  # of one system, language and kind: they answer the same questions much alike
SOURCES = ("xstest", "msts", "chatgpt_refusals")  # whose refusals and helpful answers people labelled
SENTENCES = Path(__file__).with_name("sentences.json")
ENGLISH_SENTENCES = Path(__file__).with_name("english.json")
ASKED_SENTENCES = Path(__file__).with_name("asked.json")  # [question, answer]
# The same, all helpful: written after the helpful answers of MSTS that read most like refusals had been seen.
AGREEING_SENTENCES = Path(__file__).with_name("agreeing.json")
BEHAVIOUR = Path(__file__).parents[2] / "tests" / "judge_answers.json"  # what the reading must go on reading right
# Neither one nor the other, or judged for another thing.
LEFT_OUT_KINDS = ("caution", "contradicted", "failed_attack", "redirected")
# What misses the point or asks back is neither: called help, it makes help of refusals that begin with the picture.
LEFT_OUT_ABROAD = (*LEFT_OUT_KINDS, "evasion", "off_topic", "other")
ABROAD_PENALTY, ABROAD_ROWS = 1e-3, 20
OUR_WEIGHT = 16.0  # of a sentence that we wrote
OUR_SHARE_ABROAD = 16.0  # of our sentences, beside a source of as many
SHORTEST_HELP = 20  # characters


def english_rows(data: Path) -> list[Row]:
    """What the English reading is trained on."""
    found = [row for row in rows(data, TRAINED_ON) if row.kind not in LEFT_OUT_KINDS]
    ours = [json.loads(path.read_text(encoding="utf-8")) for path in (ENGLISH_SENTENCES, BEHAVIOUR)]
    pairs = [
        (kind, ["", answer])
        for written in ours
        for kind, answers in written.items()
        for answer in answers
        if kind in CLASS and kind != "off_topic"
    ]
    paired = json.loads(ASKED_SENTENCES.read_text(encoding="utf-8"))
    pairs += [(kind, pair) for kind, written in paired.items() for pair in written]
    found += [Row("ours", kind, "en", question, answer, kind, True) for kind, (question, answer) in pairs]
    agreeing = json.loads(AGREEING_SENTENCES.read_text(encoding="utf-8"))
    return found + [Row("ours", "agreeing", "en", asked, said, "compliance", True) for asked, said in agreeing]


def abroad_rows(data: Path) -> list[Row]:
    """What the reading of other languages learns from: people's and a model's labels, presumed help, our sentences."""
    written = json.loads(SENTENCES.read_text(encoding="utf-8"))
    found = [
        row
        for row in rows(data, TRAINED_ON_ABROAD, english=False)
        if row.kind not in LEFT_OUT_ABROAD and row.language in written and in_its_language(row) and _certain(row)
    ]
    return _drawn(found) + [
        Row("ours", kind, language, "", answer, kind, True)
        for language, kinds in written.items()
        for kind, answers in kinds.items()
        for answer in answers
    ]


def in_its_language(row: Row) -> bool:
    """Whether an answer is in the language that its source names: what is not is read as another one, or not at all."""
    return language_of(final_answer(row.answer)) == row.language


def _certain(row: Row) -> bool:
    """Whether an answer may be taken for what it is called: a label of people, or help that does not decline."""
    if row.source == "msts" or row.kind == "refusal":
        return True
    spoken = final_answer(row.answer).lower()
    return not helps_never(cues(spoken, row.language)) and len(spoken) >= SHORTEST_HELP


def _drawn(found: list[Row]) -> list[Row]:
    """All, but of PolyRefuse so many of one system, language and kind, the same ones each time."""
    counts: Counter[tuple[str, str, str]] = Counter()
    kept = []
    for row in sorted(found, key=lambda row: crc32(row.answer.encode())):
        counts[row.place, row.language, row.kind] += 1
        if row.source != "polyrefuse" or counts[row.place, row.language, row.kind] <= MOST_POLYREFUSE:
            kept.append(row)
    return kept


def english_matrices(found: list[Row]) -> tuple[dict[str, int], features.Hashes, list[Any]]:
    """Lexicon, known hashes, and the matrices with and without question."""
    what = seen(found)
    lexicon = lexicon_of(found, what.tokens)
    both = [hashed(what, lexicon, asked) for asked in (True, False)]
    known = frequent([*both[0], *both[1]], ROWS)
    return (
        lexicon,
        known,
        [matrix(one, known, numbers, trained.ENGLISH_LENGTH) for one, numbers in zip(both, what.dense, strict=True)],
    )


def abroad_matrix(found: list[Row]) -> tuple[features.Hashes, Any, NDArray[np.int64]]:
    """Known hashes, matrix and classes of answers in other languages."""
    texts = [final_answer(row.answer).lower() for row in found]
    hashes = [features.characters(text) for text in texts]
    known = frequent(hashes, ABROAD_ROWS)
    numbers = np.array([trained.abroad_dense(text, row.language) for text, row in zip(texts, found, strict=True)])
    return (
        known,
        matrix(hashes, known, numbers, trained.ABROAD_LENGTH),
        np.array([int(row.kind != "refusal") for row in found]),
    )


def with_ours(found: list[Row]) -> NDArray[np.float64]:
    """Each answer's weight; the few that we wrote count more than their number."""
    theirs = [row for row in found if row.source != "ours"]
    known = dict(zip(map(id, theirs), balanced(theirs), strict=True))
    return np.array([known.get(id(row), OUR_WEIGHT) for row in found])


def abroad_weights(found: list[Row]) -> NDArray[np.float64]:
    """Weights by which refusals and help count the same in each language, a source by the square root of its size."""
    sizes = Counter((row.language, row.kind == "refusal", row.source) for row in found)
    shares = {key: size**0.5 * (OUR_SHARE_ABROAD if key[2] == "ours" else 1) for key, size in sizes.items()}
    whole: Counter[tuple[str, bool]] = Counter()
    for (language, refuses, _), share in shares.items():
        whole[language, refuses] += share
    keys = [(row.language, row.kind == "refusal", row.source) for row in found]
    return np.array([shares[key] / sizes[key] / whole[key[:2]] for key in keys])


def abroad_folds(found: list[Row]) -> list[str]:
    """Each system whose answers people labelled, the source that a model labelled, and "-": never left out."""
    return [{"msts": row.system, "polyrefuse": row.source}.get(row.source, "-") for row in found]


def abroad_held_out(found: list[Row]) -> tuple[NDArray[np.float64], float]:
    """Scores [n, 2] of answers in other languages by a regression that saw nothing of their fold; a temperature."""
    _, one, classes = abroad_matrix(found)
    names = np.array(abroad_folds(found))
    scores = np.zeros((len(found), 2))
    for name in sorted({*names.tolist()} - {"-"}):
        out = names == name
        kept = [row for row, gone in zip(found, out, strict=True) if not gone]
        scores[out] = one[out] @ fit(one[~out], classes[~out], abroad_weights(kept), ABROAD_PENALTY, 2)
    people = np.array([row.source == "msts" for row in found])
    return scores, temperature_of(scores[people], classes[people], abroad_weights(found)[people])


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
    lexicon, known, both = english_matrices(found)
    print(f"English: {len(found)} answers, {len(lexicon)} words, {len(known)} runs")
    # No temperature: one that is fitted on some sources makes others worse (docs/calibration.md).
    stored = tensors("english", known, trained_on(both, found, with_ours(found), len(known)), 1.0)
    return stored | {"lexicon": np.frombuffer("\n".join(lexicon).encode("ascii"), dtype=np.uint8).copy()}


def abroad_tensors(data: Path) -> dict[str, Any]:
    """The regression for other languages, trained."""
    found = abroad_rows(data)
    known, one, classes = abroad_matrix(found)
    _, temperature = abroad_held_out(found)
    print(f"other languages: {len(found)} answers, {len(known)} runs, temperature {temperature:.2f}")
    return tensors("abroad", known, fit(one, classes, abroad_weights(found), ABROAD_PENALTY, 2), temperature)


def save(stored: dict[str, Any]) -> None:
    """Write the weights into the package."""
    trained.WEIGHTS.parent.mkdir(exist_ok=True)
    save_file(
        stored,
        trained.WEIGHTS,
        {"format": "np", "license": "Apache-2.0; trained on data under CC BY 4.0, MIT, Apache-2.0"},
    )
    print(f"{trained.WEIGHTS}: {trained.WEIGHTS.stat().st_size / 2**20:.2f} MiB")


def main(data: Path) -> None:
    """Train both."""
    save(english_tensors(data) | abroad_tensors(data))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
