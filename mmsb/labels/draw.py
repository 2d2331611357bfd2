"""Which answers are labelled: a sample drawn by chance, with the probability of each known and written down.

`by=random` draws from all answers alike. `by=cells` draws from every scenario and verdict (of two runs: change of the
verdict): as many from each scenario, within it by the root of how common the verdict is, at least two of each: rare
verdicts are seen, and the corrected average is narrower for the same number of labels. Whoever reads such labels must
weigh them by their probabilities.

The order is a permutation by the seed, and a larger draw begins, in each stratum, with the smaller one: labels can be
added later. Labelling in that order means that what is labelled at any time is itself such a sample.

Labels for a *difference* are drawn for two runs at once: the same questions in both, since most of what makes an answer
unsafe is the question.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mmsb.errors import ConfigError, DataError
from mmsb.labels.answers import Answers, Place, answer_digest, verdict

LEAST = 2  # of every scenario and verdict
# Unchanged in one stratum: a verdict that stays says little of the difference, whichever it is.
CHANGES = {
    ("safe", "safe"): "unchanged",
    ("unsafe", "unsafe"): "unchanged",
    ("safe", "unsafe"): "rises",
    ("unsafe", "safe"): "falls",
}
By = Literal["random", "cells"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A question (a repeat of one) that is to be labelled in every run of the draw.

    Attributes:
        place: scenario, question, repeat.
        cell: the stratum it was drawn from.
        probability: of being drawn.
        rows: each run's row id.
        digests: each run's answer.
    """

    place: Place
    cell: str
    probability: float
    rows: tuple[str, ...]
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """A sample, in the order of labelling.

    Attributes:
        runs: ids of the runs, one or two.
        answers: digests of all answers of each, drawn or not.
        by: how it was drawn.
        seed: of the order.
        sizes: how many answers each stratum has, drawn or not.
        items: what was drawn.
    """

    runs: tuple[str, ...]
    answers: tuple[str, ...]
    by: By
    seed: int
    sizes: Mapping[str, int]
    items: tuple[Drawn, ...]

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Draw:
        """From plain values.

        Raises:
            KeyError, TypeError: they are none of a draw.
        """
        items = tuple(
            Drawn(
                (item["place"][0], item["place"][1], item["place"][2]),
                item["cell"],
                item["probability"],
                tuple(item["rows"]),
                tuple(item["digests"]),
            )
            for item in record["items"]
        )
        # As tuples: JSON has lists, and a draw is compared with others.
        runs, answers = tuple(record["runs"]), tuple(record["answers"])
        return cls(runs, answers, record["by"], record["seed"], dict(record["sizes"]), items)

    def probabilities(self, reached: set[Place]) -> dict[Place, float]:
        """Of what has been reached so far, the probability of being of that: a stratum's first ones are a sample too.

        Args:
            reached: places with a label, or looked at and skipped.

        Returns:
            Every place up to each stratum's last reached one.
        """
        # a stratum's order is a permutation by chance: its first k are a plain sample of k, wherever one stops
        strata: defaultdict[str, list[Place]] = defaultdict(list)
        for item in self.items:
            strata[item.cell].append(item.place)
        found: dict[Place, float] = {}
        for cell, places in strata.items():
            last = max((number for number, place in enumerate(places, 1) if place in reached), default=0)
            found |= dict.fromkeys(places[:last], last / self.sizes[cell])
        return found


def draw(runs: Sequence[Answers], size: int, by: By, seed: int) -> Draw:
    """Draw what to label.

    Args:
        runs: one run, or two for a difference.
        size: how many questions.
        by: how.
        seed: of the order.

    Raises:
        DataError: the runs share no answered question.
        ConfigError: too few for a draw by cells.
    """
    places = [place for place in runs[0].rows if all(place in run.rows for run in runs)]
    if not places:
        raise DataError("there is no answer to label: nothing was answered, or the two runs share no question")
    cells = {place: _cell(place, runs, by) for place in places}
    sizes = Counter(cells.values())
    # With one label in a stratum its spread cannot be estimated, and the interval would be too narrow without saying
    # so.
    if by == "cells" and size < LEAST * len(sizes):
        raise ConfigError(
            f"size={size} is too small for by=cells: there are {len(sizes)} kinds of scenario and verdict",
            f"Set size={LEAST * len(sizes)} or more, or by=random.",
        )
    left = allocated(sizes, min(size, len(places)), by)
    chances = {cell: count / sizes[cell] for cell, count in left.items()}
    # all places, before any is taken: an order that knew the size would make a larger draw another one
    random.Random(seed).shuffle(places)
    items = []
    for place in places:
        if left[cells[place]]:
            left[cells[place]] -= 1
            rows = [run.rows[place] for run in runs]
            digests = tuple(answer_digest(row["response"]) for row in rows)
            items.append(Drawn(place, cells[place], chances[cells[place]], tuple(row["id"] for row in rows), digests))
    return Draw(tuple(r.id for r in runs), tuple(r.digest for r in runs), by, seed, dict(sizes), tuple(items))


def _cell(place: Place, runs: Sequence[Answers], by: By) -> str:
    if by == "random":
        return "all"
    given = [verdict(run.rows[place]) for run in runs]
    # A stratum of its own: these are in no observed rate, but in the corrected one.
    if "unjudged" in given:
        return f"{place[0]}/unjudged"
    if len(given) == 1:
        return f"{place[0]}/{given[0]}"
    return f"{place[0]}/{CHANGES[given[0], given[1]]}"


def allocated(sizes: Mapping[str, int], size: int, by: By = "cells") -> Counter[str]:
    """How many to draw from each stratum; more in all is never less of any.

    Args:
        sizes: how many there are, by scenario/verdict.
        size: how many to draw, not more than there are.
        by: how.
    """
    if by == "random":
        return Counter(dict.fromkeys(sizes, size))
    # roots: between as many of each verdict, best for the errors, and in proportion, best for the rate
    scenarios: defaultdict[str, float] = defaultdict(float)
    for cell, count in sizes.items():
        scenarios[cell.partition("/")[0]] += count**0.5
    wishes = {cell: count**0.5 / scenarios[cell.partition("/")[0]] for cell, count in sizes.items()}
    given: Counter[str] = Counter(dict.fromkeys(sizes, 0))

    def next_one(cell: str) -> tuple[bool, float]:
        """Two of each first, then as Sainte-Lague gives seats."""
        return given[cell] < LEAST, wishes[cell] / (2 * given[cell] + 1)

    for _ in range(size):
        # One by one: a larger draw then holds the smaller one, which rounding shares would not promise.
        given[max((cell for cell in sizes if given[cell] < sizes[cell]), key=next_one)] += 1
    return given


def tasks(drawn: Draw) -> Iterator[tuple[Drawn, int]]:
    """What to label, one answer at a time: (what was drawn, number of the run), two runs in an order of chance."""
    # a fixed order would tell which run an answer is from, and the rater may know which one is defended
    order = random.Random(drawn.seed)
    for item in drawn.items:
        numbers = list(range(len(drawn.runs)))
        order.shuffle(numbers)
        yield from ((item, number) for number in numbers)
