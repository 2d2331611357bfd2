"""Tests of differences, and what they can find. No scipy: importing it takes longer than a finished run's tables.

Sources: McNemar 1947, "Note on the sampling error of the difference between correlated proportions"; Holm 1979, "A
simple sequentially rejective multiple test procedure"; why cells that cannot differ leave the family: Tarone 1990, "A
modified Bonferroni method for discrete data"; sample sizes: Connor 1987, "Sample size for testing differences in
proportions for the paired-sample design".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

ALPHA, POWER = 0.05, 0.8
FEWEST = 6  # questions that change, all one way, before exact McNemar can reject: 2 / 2^6 is the first below 5 %
Z_ALPHA, Z_POWER = NormalDist().inv_cdf(1 - ALPHA / 2), NormalDist().inv_cdf(POWER)


@cache
def mcnemar_exact(fell: int, rose: int) -> float:
    """McNemar's exact two-sided p: whether as many questions rose as fell.

    Assumes that questions are independent; conditions on how many changed at all.

    Args:
        fell: questions whose value fell; with repeats, whose mean fell.
        rose: questions whose value rose.
    """
    changed = fell + rose
    tail = sum(math.comb(changed, k) for k in range(min(fell, rose) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values corrected for all of them being tested together (Holm): the chance of any false alarm is held."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        # never below an earlier one: else the weaker of two findings could look the stronger
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = highest
    return corrected


def smallest_difference(questions: float, squares: float, most: float = 1.0) -> float | None:
    """The smallest mean change that a two-sided test at 5 % finds with 80 % power.

    Solves d sqrt(n) = z_alpha sqrt(s) + z_power sqrt(s - d^2), normal approximation (Connor 1987).

    Args:
        questions: paired questions; for an average over scenarios their effective number, see `effective`.
        squares: the mean squared change of a question; without repeats the share of questions that change.
        most: the largest mean change there can be: all questions that change, one way.

    Returns:
        The change in (0, 1], or None where even a change of every question that changes would not be found: it would
        not, or fewer than 6 questions would change, with which the exact test never rejects.
    """
    if questions <= 0 or squares <= 0:
        return None
    arm = Z_ALPHA * math.sqrt(squares)
    inner = questions * arm**2 - (questions + Z_POWER**2) * (arm**2 - Z_POWER**2 * squares)
    found: float = (math.sqrt(questions) * arm + math.sqrt(max(inner, 0.0))) / (questions + Z_POWER**2)
    # no mean change is larger than all changes one way would make it
    reached = found**2 <= squares and found <= most and questions * found >= FEWEST
    return found if reached else None


def needed(difference: float, squares: float, most: float = 1.0) -> float | None:
    """How many questions (effective ones) a mean change of `difference` needs; None where it cannot be that large."""
    if difference**2 > squares or difference > most:
        return None
    normal: float = ((Z_ALPHA * squares**0.5 + Z_POWER * (squares - difference**2) ** 0.5) / difference) ** 2
    return max(normal, FEWEST / difference)


def effective(sizes: Sequence[int]) -> float:
    """The number of questions that would tell as much in one scenario as these do, all scenarios weighing alike."""
    return len(sizes) ** 2 / sum(1 / size for size in sizes)
