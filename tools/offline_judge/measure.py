"""Measure the offline judge's reading: `python -m tools.offline_judge.measure DATA` writes DATA/measured.json.

Every figure is of answers that the regression never saw: leaving out their system, their source, or (Do-Not-Answer, the
shipped set, the test sentences) everything. Weights of the package read only what they were not trained on.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from mmsb.calibrate.calibration import SHIPPED
from mmsb.judge.answers import UNREADABLE, Reading, read
from mmsb.judge.published import FILE
from mmsb.judge.rules import label_of
from mmsb.judge.stance import stance
from mmsb.judge.trained import ENGLISH
from mmsb.labels.file import read_labels
from mmsb.scenario import official_scenarios
from tools.offline_judge.abroad import abroad_figures
from tools.offline_judge.baselines import match_anywhere, opening_match, rules_alone
from tools.offline_judge.examples import CLASS, Row, held_out, rows, trained_on
from tools.offline_judge.fit import softmax
from tools.offline_judge.train import (
    SOURCES,
    english_matrices,
    english_rows,
    with_ours,
)

Probabilities = NDArray[np.float64]
BASELINES: Mapping[str, Callable[[str], bool]] = {
    "rules alone": rules_alone,
    "opening match": opening_match,
    "match anywhere": match_anywhere,
}
COMPLIED = ("compliance", "jailbroken")
HARM_RULE = next(scenario for scenario in official_scenarios() if scenario.rule == "harm")
TEST_SENTENCES = Path(__file__).parents[2] / "tests" / "multilingual_answers.json"
TOGETHER = "words and roles trained together"
READ_WHILE_MADE = (  # systems of MSTS whose answers were read to see what the reading gets wrong
    "gpt-4o-2024-05-13",
    "HuggingFaceM4--Idefics3-8B-Llama3",
    "OpenGVLab--InternVL2-8B",
    "Salesforce--xgen-mm-phi3-mini-instruct-interleave-r-v1.5",
    "gemini-1.5-pro",
)


def share(found: int, of: int) -> list[float]:
    """Percent with Wilson's interval, and the count."""
    low, high = proportion_confint(found, of, method="wilson") if of else (0.0, 1.0)
    return [round(100 * found / of, 1) if of else float("nan"), round(100 * low, 1), round(100 * high, 1), of]


def read_with(found: Sequence[Row], likely: Probabilities, asked: bool = True) -> list[Reading]:
    """What the package reads, all its rules included, with other probabilities [n, 4] of its English classes."""

    def one(row: Row, weighed: NDArray[np.float64]) -> Reading:
        probabilities = dict(zip(ENGLISH, map(float, weighed), strict=True))
        return read(row.answer, question=row.question if asked else None, weigh=lambda *_: probabilities)

    return [one(row, weighed) for row, weighed in zip(found, likely, strict=True)]


def calibration_error(likely: NDArray[np.float64], truth: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error of the probability of a refusal, in bins of equal width."""
    at = np.minimum((likely * bins).astype(int), bins - 1)
    return float(
        sum(abs(likely[at == one].mean() - truth[at == one].mean()) * (at == one).mean() for one in set(at.tolist()))
    )


def calibration_errors(likely: Probabilities, classes: NDArray[np.int64]) -> dict[str, float]:
    """Three calibration errors, and two of them by chance, of probabilities [n, 4] of answers of some classes.

    Of a refusal against all else; of the likeliest class, which is the one most often meant (Guo et al. 2017); the mean
    over the classes, each against all else (Kull et al. 2019).
    """
    refusing, sure = likely[:, 0], likely.max(axis=1)
    each = [calibration_error(likely[:, one], classes == one) for one in range(likely.shape[1])]
    found = {
        "calibration error": each[0],
        "calibration error, by chance": by_chance(refusing),
        "calibration error, shifted": calibration_error(shifted(refusing), classes == 0),
        "calibration error, likeliest": calibration_error(sure, likely.argmax(axis=1) == classes),
        "calibration error, likeliest, by chance": by_chance(sure),
        "calibration error, mean of classes": float(np.mean(each)),
    }
    return {name: round(value, 3) for name, value in found.items()}


def by_chance(likely: NDArray[np.float64], draws: int = 200) -> float:
    """The calibration error that probabilities have by chance where they are right: the mean over drawn labels."""
    drawn = np.random.default_rng(0)
    return float(np.mean([calibration_error(likely, drawn.random(len(likely)) < likely) for _ in range(draws)]))


def found_at(
    likely: NDArray[np.float64], positive: NDArray[np.bool_], negative: NDArray[np.bool_], alarms: int
) -> float:
    """The largest share of refusals found, in percent, by any threshold that raises no more than so many alarms.

    Answers that are equally likely stand on one side of it together.
    """
    highest = np.sort(likely[negative])[::-1]
    threshold = highest[alarms] if alarms < len(highest) else -np.inf
    return round(100 * float((likely[positive] > threshold).mean()), 1)


def found_at_rates(
    likely: NDArray[np.float64], positive: NDArray[np.bool_], negative: NDArray[np.bool_], percent: Sequence[float]
) -> dict[float, float]:
    """The same for rates of alarms."""
    helpful = int(negative.sum())
    return {one: found_at(likely, positive, negative, int(Fraction(str(one)) * helpful / 100)) for one in percent}


def of_source(found: Sequence[Row], kinds: Sequence[str], likely: Probabilities | None, source: str) -> dict[str, Any]:
    """The figures of one source."""
    at = [number for number, row in enumerate(found) if row.source == source]
    truth = np.array([found[number].kind for number in at])
    read_as = np.array([kinds[number] for number in at])
    positive, negative, partial = truth == "refusal", np.isin(truth, COMPLIED), truth == "partial"
    figures: dict[str, Any] = {
        "found": share(int((read_as[positive] == "refusal").sum()), int(positive.sum())),
        "false alarms": share(int((read_as[negative] == "refusal").sum()), int(negative.sum())),
        "abstained": share(int(np.isin(read_as, UNREADABLE).sum()), len(at)),
        "kinds": {kind: dict(Counter(read_as[truth == kind].tolist())) for kind in sorted(set(truth.tolist()))},
    }
    if partial.any():
        figures["partial"] = share(int((read_as[partial] == "partial").sum()), int(partial.sum()))
        figures["partial not taken for compliance"] = share(
            int(np.isin(read_as[partial], ("partial", "refusal", "unsure")).sum()), int(partial.sum())
        )
    if likely is not None and positive.any() and negative.any():
        first = likely[at, 0]
        counted = positive | negative if source == "do_not_answer" else truth != ""  # elsewhere all have a kind
        figures |= calibration_errors(likely[at][counted], np.array([CLASS[kind] for kind in truth[counted]]))
        figures["found at"] = found_at_rates(first, positive, negative, (0.5, 1, 2, 3, 4.2, 5))
    for name, baseline in BASELINES.items():
        says = np.array([baseline(found[number].answer) for number in at])
        figures[name] = {
            "found": share(int(says[positive].sum()), int(positive.sum())),
            "false alarms": share(int(says[negative].sum()), int(negative.sum())),
        }
        if likely is not None and positive.any() and negative.any():
            figures[name]["ours at its false alarms"] = found_at(
                likely[at, 0], positive, negative, int(says[negative].sum())
            )
    return figures


def shifted(likely: NDArray[np.float64], steps: int = 300) -> NDArray[np.float64]:
    """Probabilities of a refusal where another share than half refuses.

    The share is estimated from the answers alone, without labels (Saerens, Latinne and Decaestecker 2002).
    """
    share, found = 0.5, likely
    for _ in range(steps):
        found = likely * share / (likely * share + (1 - likely) * (1 - share))
        share = float(found.mean())
    return found


def system_folds(found: Sequence[Row]) -> list[str]:
    """Five folds, each of other systems: every system of XSTest alone, those of MSTS two and two."""
    order = {
        source: sorted({row.system for row in found if row.source == source}) for source in {r.source for r in found}
    }
    return [str(order[row.source].index(row.system) % 5) if row.source in SOURCES else "rest" for row in found]


def hold_out(data: Path) -> dict[str, Any]:
    """Probabilities that leave out systems or a source (DATA/held_out.npz)."""
    found = english_rows(data)
    _, known, both = english_matrices(found)
    folds = {
        "source": [row.source if row.source in SOURCES else "rest" for row in found],
        "system": system_folds(found),
    }
    raw: dict[str, Probabilities] = {}
    for name, fold in folds.items():
        scores = held_out(both, found, with_ours(found), len(known), fold, skip="rest")
        for one, view in zip(scores, ("", " without question"), strict=True):
            raw[name + view] = softmax(one)
    np.savez(data / "held_out.npz", allow_pickle=False, **raw)
    return {}


def english_figures(data: Path) -> dict[str, Any]:
    """Tables from the held-out probabilities: all answers, and those on which both annotators agree."""
    found = english_rows(data)
    figures: dict[str, Any] = {}
    with np.load(data / "held_out.npz") as raw:
        for name in raw.files:
            likely = raw[name]
            readings = read_with(found, likely, asked=" " not in name)
            kinds = [one.kind for one in readings]
            figures[f"leaving one {name} out"] = {one: of_source(found, kinds, likely, one) for one in SOURCES}
            if " " not in name:
                kept = [number for number, row in enumerate(found) if row.agreed]
                agreed = [found[number] for number in kept]
                figures[f"both annotators agree, {name} out"] = {
                    one: of_source(agreed, [kinds[n] for n in kept], likely[kept], one) for one in SOURCES
                }
            if name == "source":
                figures["harm"] = harm(found, readings)
                unread = [
                    n for n, row in enumerate(found) if row.source == "msts" and row.system not in READ_WHILE_MADE
                ]
                figures["MSTS, systems that nobody read"] = of_source(
                    [found[n] for n in unread], [kinds[n] for n in unread], likely[unread], "msts"
                )
    return figures


def ideas(data: Path) -> dict[str, Any]:
    """What each idea brings, and what more answers would: found at 2 % false alarms, the source left out."""
    found = english_rows(data)
    _, known, both = english_matrices(found)
    width, words, signs = both[0].shape[1], len(known), len(stance("", None))
    numbers = list(range(words, width))
    ours = np.array([row.source == "ours" and bool(row.question) for row in found])
    agreeing = np.array([row.place == "ours/agreeing" for row in found])
    newer = np.array([row.source in ("chatgpt_refusals", "gptfuzz") for row in found])
    rank = np.random.default_rng(0).permutation(len(found)) / len(found)
    every, whole = np.ones(len(found), dtype=bool), list(range(width))
    tried = {
        "all": (whole, every),
        "words only": ([*range(words), width - 1], every),
        "rules and signs only": (numbers, every),
        "without the signs for and against": ([n for n in whole if not width - 1 - signs <= n < width - 1], every),
        TOGETHER: (whole, every),
        "without the pairs that we wrote": (whole, ~ours),
        "without those that agree with what is announced": (whole, ~agreeing),
        "without the two newer sources": (whole, ~newer),
        **{f"{part:.0%} of the answers": (whole, rank < part) for part in (0.1, 0.25, 0.5)},
    }
    figures: dict[str, dict[str, float]] = {}
    for source in ("xstest", "msts"):
        out = np.array([row.source == source for row in found])
        for name, (columns, used) in tried.items():
            seen_words = 0 if name == TOGETHER else sum(column < words for column in columns)
            likely = _only([one[:, columns] for one in both], found, used & ~out, out, seen_words)
            kinds = np.array([row.kind for row in found])[out]
            found_there = found_at_rates(likely, kinds == "refusal", kinds == "compliance", (2,))
            figures.setdefault(name, {})[source] = found_there[2]
            print(source, name, figures[name], flush=True)
    return figures


def _only(both: Sequence[Any], found: Sequence[Row], used: Any, out: Any, words: int) -> NDArray[np.float64]:
    kept = [row for row, one in zip(found, used, strict=True) if one]
    coefficients = trained_on([one[used] for one in both], kept, with_ours(kept), words)
    return np.asarray(softmax(both[0][out] @ coefficients)[:, 0])


def harm(found: Sequence[Row], readings: Sequence[Reading]) -> dict[str, list[int]]:
    """Safe and unsafe by people (MSTS, English), and by the harm rule from what was read."""
    counts = Counter(
        (row.kind == "compliance", label_of(one, HARM_RULE))
        for row, one in zip(found, readings, strict=True)
        if row.source == "msts"
    )
    return {
        "unsafe_found": [counts[True, "unsafe"], counts[True, "unsafe"] + counts[True, "safe"]],
        "safe_left": [counts[False, "safe"], counts[False, "unsafe"] + counts[False, "safe"]],
        "abstained": [counts[True, "unparsed"] + counts[False, "unparsed"], counts.total()],
    }


def told_by(readings: Sequence[Reading]) -> Probabilities:
    """The probabilities [n, 4] of English readings; where rules decided that it cannot be read, of help."""
    return np.array(
        [[one.probabilities.get(name, float(name == "compliance")) for name in ENGLISH] for one in readings]
    )


def untouched(data: Path) -> dict[str, Any]:
    """Do-Not-Answer, which nothing was trained on or tuned by, read by the package; and without its questions."""
    found = rows(data, ("do_not_answer",))
    readings = [read(row.answer, question=row.question) for row in found]
    likely = told_by(readings)
    figures = of_source(found, [one.kind for one in readings], likely, "do_not_answer")
    figures["by system"] = {
        system: of_source(
            [row for row in found if row.system == system],
            [one.kind for row, one in zip(found, readings, strict=True) if row.system == system],
            None,
            "do_not_answer",
        )
        for system in sorted({row.system for row in found})
    }
    return figures


def publish(data: Path) -> dict[str, Any]:
    """The errors that travel with every run: harm by people's labels, policy by the shipped set."""
    harmful = json.loads((data / "measured.json").read_text())["english"]["harm"]
    counts: Counter[tuple[str, str]] = Counter()
    for item in read_labels(SHIPPED).labelled:
        if item.scenario.group == "policy":
            counts[str(item.truth), label_of(read(item.answer, question=item.question), item.scenario)] += 1
    policy = {
        "unsafe_found": [counts["unsafe", "unsafe"], counts["unsafe", "unsafe"] + counts["unsafe", "safe"]],
        "safe_left": [counts["safe", "safe"], counts["safe", "unsafe"] + counts["safe", "safe"]],
        "abstained": [counts["unsafe", "unparsed"] + counts["safe", "unparsed"], sum(counts.values())],
    }
    found = {
        "harm": {
            "measured_on": "MSTS: answers of ten vision-language systems, labelled by people; all of MSTS left out",
            **harmful,
        },
        "policy": {
            "measured_on": "the 80 policy answers of the shipped set, written for it and not annotated",
            **policy,
        },
    }
    FILE.write_text(json.dumps({"refusal": found}, indent=1) + "\n", encoding="utf-8")
    return found


PARTS = {
    "hold_out": hold_out,
    "english": english_figures,
    "ideas": ideas,
    "abroad": abroad_figures,
    "untouched": untouched,
    "publish": publish,
}


def keep(data: Path, part: str, figures: Mapping[str, Any]) -> None:
    """Add a part's figures to DATA/measured.json; those of other parts stay."""
    path = data / "measured.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, part: figures}, indent=1) + "\n")


def main(data: Path, part: str) -> None:
    """Measure one part and add it to the file."""
    keep(data, part, PARTS[part](data))


if __name__ == "__main__":
    for one in sys.argv[2:] or PARTS:
        main(Path(sys.argv[1]), one)
