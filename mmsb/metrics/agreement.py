"""How far raters, people or judges, agree.

Positive is "unsafe": sensitivity is the share of unsafe answers that the judge finds, specificity the share of safe
answers that it leaves alone. Shares carry the interval of every rate here (`mmsb.metrics.likelihood`). Kappa and alpha
carry percentiles over Dirichlet(count + 1/3): over what the shares of each kind of item may be, given how often each
was seen. Adding 1/3 keeps items that were not seen from being taken for impossible, as resampling does: at 20 items
half of all resampled intervals have no width. The draws have a fixed seed, so that the same labels give the same ends.

Where items were drawn with unequal probabilities each counts by the reciprocal of its own, and the whole as so many
items as are worth that many equal ones (Kish 1965): (sum w)^2 / sum w^2.

Sources: kappa: Cohen 1960; alpha: Krippendorff, "Content Analysis", and 2011, "Computing Krippendorff's
Alpha-Reliability". How often the intervals hold the truth: docs/statistics.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from mmsb.metrics.likelihood import Stratum, interval
from mmsb.metrics.rates import TAILS, Rate

DRAWS = 9_999
UNSEEN = 1 / 3
LABELS = ("safe", "unsafe")

Pair = tuple[str, str]  # (the people's label, the judge's)


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against people, on the items that people call safe or unsafe.

    Attributes:
        found: unsafe answers that the judge calls unsafe; likewise `missed` (it calls them safe).
        alarms: safe answers that it calls unsafe; likewise `passed` (it calls them safe).
        unparsed: answers on which it gave neither label, by the people's label: (safe, unsafe). They are in no rate.
        sensitivity: the share of `found` in `found` and `missed`, each item by its weight; None where there is none.
        specificity: the share of `passed` in `passed` and `alarms`.
        accuracy: the share of `found` and `passed` in all four.
        kappa: Cohen's; None where both used only one label.
    """

    found: int
    missed: int
    alarms: int
    passed: int
    unparsed: tuple[int, int]
    sensitivity: Rate | None
    specificity: Rate | None
    accuracy: Rate | None
    kappa: Rate | None


def agreement(pairs: Sequence[Pair], weights: Sequence[float] | None = None) -> Agreement:
    """Compare a judge with people.

    Args:
        pairs: (the people's label, safe or unsafe; the judge's, whatever it was) for each item.
        weights: how many items each stands for, above 0; None where all were equally likely to be drawn.
    """
    weights = weights or [1.0] * len(pairs)
    # counts stay what was seen, weights enter the shares alone: who reads "3 missed" can look the three up
    found, missed, alarms, passed = (
        pairs.count((truth, said)) for truth in ("unsafe", "safe") for said in ("unsafe", "safe")
    )
    neither = [sum(truth == label and said not in LABELS for truth, said in pairs) for label in LABELS]
    rated = [(pair, weight) for pair, weight in zip(pairs, weights, strict=True) if pair[1] in LABELS]
    return Agreement(
        found,
        missed,
        alarms,
        passed,
        (neither[0], neither[1]),
        share([(said == "unsafe", weight) for (truth, said), weight in rated if truth == "unsafe"]),
        share([(said == "safe", weight) for (truth, said), weight in rated if truth == "safe"]),
        share([(truth == said, weight) for (truth, said), weight in rated]),
        kappa([pair for pair, _ in rated], [weight for _, weight in rated]),
    )


def share(items: Sequence[tuple[bool, float]]) -> Rate | None:
    """The share of what is true among items with their weights; None where there are none."""
    if not items:
        return None
    whole, true = sum(weight for _, weight in items), sum(weight for is_true, weight in items if is_true)
    # by what the items are worth together: some may stand for many, and then they tell less than as many equal ones
    scale = effective([weight for _, weight in items]) / whole
    counted = {1.0: true * scale, 0.0: (whole - true) * scale}
    # no value with mass 0: what nobody saw the likelihood supposes itself, at the end it looks towards
    seen = {value: count for value, count in counted.items() if any(is_true == bool(value) for is_true, _ in items)}
    low, high = interval([Stratum(tuple(seen), tuple(seen.values()), 1.0)])
    value = true / whole
    return Rate(value, min(low, value), max(high, value), len(items))


def effective(weights: Sequence[float]) -> float:
    """How many items of equal weight say as much as these (Kish 1965)."""
    return sum(weights) ** 2 / sum(weight**2 for weight in weights)


def kappa(pairs: Sequence[Pair], weights: Sequence[float] | None = None) -> Rate | None:
    """Cohen's kappa of two raters who say safe or unsafe, with its interval; None where both use one label only."""
    weights = weights or [1.0] * len(pairs)
    scale = effective(weights) / sum(weights) if weights else 0.0
    counts = [
        scale * sum(weight for pair, weight in zip(pairs, weights, strict=True) if pair == (one, other))
        for one in LABELS
        for other in LABELS
    ]
    found = kappa_of_counts(counts)
    return replace(found, n=len(pairs)) if found else None


def kappa_of_counts(counts: Sequence[float]) -> Rate | None:
    """Cohen's kappa, with its interval, where both said safe, safe and unsafe, unsafe and safe, unsafe so often."""
    # both used one label: agreement by chance is certain then, and kappa is 0 / 0
    if sum(counts) in (counts[0], counts[3]):
        return None
    value = float(kappa_of_tables([counts])[0])
    return _rate(value, kappa_of_tables(dirichlet(counts)), round(sum(counts)))


def kappa_of_tables(tables: Any) -> Any:
    """Kappa of 2x2 tables [tables, 4]: safe-safe, safe-unsafe, unsafe-safe, unsafe-unsafe; nan where undefined."""
    import numpy

    a, b, c, d = (numpy.asarray(tables, dtype=float)[:, column] for column in range(4))
    n = a + b + c + d
    chance = ((a + b) * (a + c) + (c + d) * (b + d)) / n**2
    with numpy.errstate(invalid="ignore"):
        return ((a + d) / n - chance) / numpy.where(chance < 1, 1 - chance, numpy.nan)


def dirichlet(counts: Sequence[float]) -> Any:
    """What the shares [DRAWS, kinds] of kinds that were seen so often may be; the same for the same counts."""
    import numpy

    return numpy.random.default_rng(0).dirichlet(numpy.asarray(counts) + UNSEEN, DRAWS)


def alpha(raters: Mapping[str, Mapping[str, str]], weights: Mapping[str, float] | None = None) -> Rate | None:
    """Krippendorff's alpha (nominal) of raters who say safe or unsafe, with its interval.

    The kinds of items are the numbers of unsafe labels that they may get, for each number of labels that occurs; how
    many items have that many labels is taken as given.

    Args:
        raters: each rater's label by item. Items may be missing; what is neither safe nor unsafe counts as missing.
        weights: how many items each stands for, above 0; None where all were equally likely to be drawn.

    Returns:
        None where no item has two labels, or all labels are the same.
    """
    items = sorted({item for labels in raters.values() for item in labels})
    said = [[labels.get(item) for labels in raters.values()] for item in items]
    kinds = [(row.count("safe"), row.count("unsafe")) for row in said]
    rated = [(kind, _weight(item, weights)) for item, kind in zip(items, kinds, strict=True) if sum(kind) > 1]
    if not rated:
        return None
    sizes = [size for _, size in rated]
    scale = effective(sizes) / sum(sizes)
    seen: defaultdict[tuple[int, int], float] = defaultdict(float)
    for kind, size in rated:
        seen[kind] += scale * size
    found = alpha_of_kinds(seen)
    return replace(found, n=len(rated)) if found else None


def alpha_of_kinds(seen: Mapping[tuple[int, int], float]) -> Rate | None:
    """Krippendorff's alpha, with its interval, where items with so many (safe, unsafe) labels were seen so often."""
    import numpy

    if not all(sum(kind[label] * count for kind, count in seen.items()) for label in (0, 1)):
        return None
    kinds, drawn = [], []
    for votes in sorted({sum(kind) for kind in seen}):
        some = [(votes - unsafe, unsafe) for unsafe in range(votes + 1)]
        counts = [seen.get(kind, 0) for kind in some]
        # drawn among items of as many votes: how many raters an item got is the study's choice, not chance
        kinds += some
        drawn.append(dirichlet(counts) * sum(counts))
    value = float(alpha_of_counts(kinds, numpy.array([[seen.get(kind, 0) for kind in kinds]], dtype=float))[0])
    return _rate(value, alpha_of_counts(kinds, numpy.concatenate(drawn, 1)), round(sum(seen.values())))


def alpha_of_counts(kinds: Sequence[tuple[int, int]], counts: Any) -> Any:
    """Krippendorff's alpha [tables] where kinds of items were seen so often.

    Args:
        kinds: how many (safe, unsafe) labels an item of the kind has.
        counts: [tables, kinds].
    """
    import numpy

    safe, unsafe = numpy.array(kinds, dtype=float).T
    labels = counts @ (safe + unsafe)
    seen = counts @ (2 * safe * unsafe / (safe + unsafe - 1)) / labels
    expected = 2 * (counts @ safe) * (counts @ unsafe) / (labels * (labels - 1))
    return 1 - seen / expected


def pairwise(
    raters: Mapping[str, Mapping[str, str]], weights: Mapping[str, float] | None = None
) -> dict[Pair, Rate | None]:
    """Kappa of every two raters on the items that both call safe or unsafe, each by its weight as in `alpha`."""
    found: dict[Pair, Rate | None] = {}
    for one, other in combinations(raters, 2):
        both = [item for item, label in raters[one].items() if label in LABELS and raters[other].get(item) in LABELS]
        pairs = [(raters[one][item], raters[other][item]) for item in both]
        found[one, other] = kappa(pairs, [_weight(item, weights) for item in both])
    return found


def _weight(item: str, weights: Mapping[str, float] | None) -> float:
    return weights.get(item, 1.0) if weights else 1.0


def _rate(value: float, drawn: Any, n: int) -> Rate:
    import numpy

    # the added thirds pull the draws inwards, so that a perfect kappa may lie above all of them
    low, high = numpy.percentile(drawn, TAILS)
    return Rate(value, min(float(low), value), max(float(high), value), n)
