"""What is left of a rate when the judge's errors are taken out of it: see `two_phase` and `misclassification`."""

from __future__ import annotations

from dataclasses import dataclass

from mmsb.metrics.rates import Rate


@dataclass(frozen=True, slots=True)
class Corrected:
    """A rate, or a difference of rates, corrected for the judge's errors.

    Attributes:
        observed: as judged; None where nothing was.
        value: corrected, with its interval; `n` counts the labels that say something: no skipped answers.
        unclipped: before clipping to the range; outside of it the labels and the run do not fit together well.
        unlabelled: the share of the run in cells without a label, or with skipped ones only: taken as judged in the
            value, open in the interval.
        from_labels: half the interval's width that more labels would narrow; None for labels of other answers.
        from_run: half the width that only more questions would.
    """

    observed: float | None
    value: Rate
    unclipped: float
    unlabelled: float = 0.0
    from_labels: float | None = None
    from_run: float | None = None
