"""Ways of reading that were tried and are not shipped: `python -m tools.offline_judge.tried DATA`.

As in `tools.offline_judge.nested`, a source is left out of weights and of the choice of thresholds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from mmsb.judge.answers import final_answer
from mmsb.judge.clauses import clauses_of
from mmsb.judge.stance import SIGNS, stance
from tools.offline_judge.examples import Row, trained_on
from tools.offline_judge.fit import softmax
from tools.offline_judge.measure import calibration_error, keep, share
from tools.offline_judge.nested import (
    MOST_ABSTAINED,
    Figures,
    Flags,
    Source,
    Thresholds,
    figures_of,
    leaving_each_out,
    source_of,
)
from tools.offline_judge.train import SOURCES, english_matrices, english_rows, with_ours

AGREED, REFUSES = np.arange(0.1, 0.8, 0.05), np.arange(0.5, 0.99, 0.02)
OBJECTIONS = ("refuse", "concede", "reject", "disclaim", "evade")
AGAINST = (0, 2, 3, 4, 5, 6)  # of the signs: speaks against it, you should not, advises against, danger, law, wrong
PARTIAL, BESIDE = 0.03, 0.1  # the least probability of a partial refusal, and its least share of a full one's
Floats = NDArray[np.float64]
Likely = Mapping[str, Floats]


def for_the_worst(read: Iterable[tuple[Any, Source]]) -> Thresholds:
    """The thresholds that are best for the worst of some sources."""
    pairs = list(read)

    def worst(at: Thresholds) -> tuple[float, float]:
        worths = [_worth(figures_of(likely, one, at)) for likely, one in pairs]
        return min(worths), sum(worths)

    return max((Thresholds(float(refuses), float(agreed)) for agreed, refuses in product(AGREED, REFUSES)), key=worst)


def _worth(one: Figures) -> float:
    """The smaller of what is found beyond the rules, and of twice the false alarms that are spared."""
    more, fewer = one.found - one.rules_found, one.rules_alarms - one.alarms
    return min(more, 2 * fewer) - 4 * max(0.0, one.abstained - MOST_ABSTAINED)


def speaks_against(found: Sequence[Row]) -> Flags:
    """Which answers say anything against anything, by roles and signs."""
    says = []
    for row in found:
        spoken = final_answer(row.answer)
        signs = np.array(stance(spoken, row.question)[: 3 * len(SIGNS)]).reshape(-1, 3)
        says.append(bool(signs[list(AGAINST), :2].any()) or any(c.role in OBJECTIONS for c in clauses_of(spoken)))
    return np.array(says)


def leaving_out(
    found: Sequence[Row], both: Sequence[Any], words: int, out: Sequence[str]
) -> Mapping[str, tuple[Floats, Floats]]:
    """Probabilities of some sources, with the question and without, by weights that saw none of them."""
    names = np.array([row.source for row in found])
    kept = ~np.isin(names, out)
    rows = [row for row, one in zip(found, kept, strict=True) if one]
    coefficients = trained_on([one[kept] for one in both], rows, with_ours(rows), words)
    with_question, without = ({name: softmax(one[names == name] @ coefficients) for name in out} for one in both)
    return {name: (with_question[name], without[name]) for name in out}


def lowered(likely: Floats, refusing: Floats) -> Floats:
    """The probabilities with another one of a refusal."""
    return np.concatenate([refusing[:, None], likely[:, 1:]], axis=1)


def by_class(likely: Floats, source: Source) -> dict[str, Any]:
    """Partial refusals found where they are a class of their own, which goes before that of full ones."""
    partly = (source.declines | source.objects) & (likely[:, 1] >= PARTIAL) & (likely[:, 1] >= BESIDE * likely[:, 0])
    parts, full = source.kinds == "partial", source.refusals
    return {"found": share(int(partly[parts].sum()), int(parts.sum())), "of full ones": float(partly[full].mean())}


def scaled(likely: Floats, slope: float, shift: float) -> Floats:
    """The probability of a refusal with its log odds scaled and shifted."""
    first = np.clip(likely[:, 0], 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + np.exp(-(slope * np.log(first / (1 - first)) + shift))))


def calibrated(read: Sequence[tuple[Floats, Source]]) -> tuple[float, float]:
    """Slope and shift with the least log loss over some sources, each counting the same."""

    def loss(at: Floats) -> float:
        losses = []
        for likely, source in read:
            first = np.clip(scaled(likely, at[0], at[1]), 1e-9, 1 - 1e-9)
            losses.append(-float(np.where(source.refusals, np.log(first), np.log(1 - first)).mean()))
        return sum(losses)

    found = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return float(found[0]), float(found[1])


def calibration(alone: Likely, inner: Mapping[str, Sequence[tuple[Floats, Source]]], of: Mapping[str, Source]) -> Any:
    """The calibration error of each source: as it is, and scaled as the others, as all, or as it wants itself."""

    def error(name: str, slope: float = 1.0, shift: float = 0.0) -> float:
        return round(calibration_error(scaled(alone[name], slope, shift), of[name].refusals), 3)

    every = calibrated([(alone[name], of[name]) for name in SOURCES])
    return {
        name: {
            "as it is": error(name),
            "scaled as the others want": error(name, *calibrated(inner[name])),
            "scaled as all want": error(name, *every),
            "scaled as it wants itself": error(name, *calibrated([(alone[name], of[name])])),
        }
        for name in SOURCES
    }


def tried(data: Path) -> dict[str, Any]:
    """The figures of every way and source, and of one calibration for all."""
    found = english_rows(data)
    _, known, both = english_matrices(found)
    of = {name: [row for row in found if row.source == name] for name in SOURCES}
    sources = {name: source_of(rows) for name, rows in of.items()}
    against = {name: speaks_against(rows) for name, rows in of.items()}
    sets = [*((name,) for name in SOURCES), *combinations(SOURCES, 2)]
    read = {frozenset(out): leaving_out(found, both, len(known), out) for out in sets}
    together = {frozenset(out): leaving_out(found, both, 0, out) for out in sets}

    def figures(way: Any, of_weights: Any = read, **how: Any) -> dict[str, Any]:
        seen = {out: {name: way(name, *two) for name, two in names.items()} for out, names in of_weights.items()}
        return leaving_each_out({name: seen[frozenset([name])][name] for name in SOURCES}, seen, sources, **how)

    alone = {name: read[frozenset([name])][name][0] for name in SOURCES}
    inner = {
        name: [(read[frozenset((name, other))][other][0], sources[other]) for other in SOURCES if other != name]
        for name in SOURCES
    }
    return {
        "words and roles trained together": figures(lambda _, asked, __: asked, together),
        "chosen for the worst": figures(lambda _, asked, __: asked, choose=for_the_worst),
        "a refusal without its question too": figures(
            lambda _, asked, without: lowered(asked, np.minimum(asked[:, 0], without[:, 0]))
        ),
        "no refusal where nothing objects": figures(
            lambda name, asked, _: lowered(asked, np.where(against[name], asked[:, 0], 0.0))
        ),
        "partial by its class, XSTest left out": by_class(alone["xstest"], sources["xstest"]),
        "calibration error": calibration(alone, inner, sources),
    }


def main(data: Path) -> None:
    """Add them to DATA/measured.json."""
    figures = tried(data)
    keep(data, "tried", figures)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
