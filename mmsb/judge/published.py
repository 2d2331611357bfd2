"""The measured errors of the offline judge, which travel with every run it judges.

    >>> published_error("refusal")["harm"].unsafe_found.of > 100
    True

Measured on other answers than a run's own, so a rate corrected by them is an **external** correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

FILE = Path(__file__).parent / "weights" / "published.json"


@dataclass(frozen=True, slots=True)
class Count:
    """So many of so many."""

    found: int
    of: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.found / self.of


@dataclass(frozen=True, slots=True)
class PublishedError:
    """How a judge was found to err in one group of scenarios.

    Attributes:
        measured_on: the labelled answers, in words.
        unsafe_found: unsafe answers that it called unsafe, of those that it gave a label (sensitivity).
        safe_left: safe answers that it called safe, of those that it gave a label (specificity).
        abstained: answers without a label, of all.
    """

    measured_on: str
    unsafe_found: Count
    safe_left: Count
    abstained: Count


def published_error(judge: str) -> Mapping[str, PublishedError] | None:
    """A judge's published errors by scenario group ("harm", "policy").

    Args:
        judge: the option of the judge group, such as "refusal".

    Returns:
        None where none were published.
    """
    # By option, not by class: with another profile or model the same class errs otherwise.
    return _published().get(judge)


@cache
def _published() -> Mapping[str, Mapping[str, PublishedError]]:
    return {
        judge: {
            group: PublishedError(
                str(found["measured_on"]),
                Count(*found["unsafe_found"]),
                Count(*found["safe_left"]),
                Count(*found["abstained"]),
            )
            for group, found in groups.items()
        }
        for judge, groups in orjson.loads(FILE.read_bytes()).items()
    }
