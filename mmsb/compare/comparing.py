"""Which runs are compared with which, and whether they may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pydantic

from mmsb.compare.runs import Compared, opened
from mmsb.config import settings, suggestion
from mmsb.errors import ConfigError, DataError
from mmsb.metrics import declared
from mmsb.metrics.declared import Metric
from mmsb.metrics.paired import Comparison, compare, in_families
from mmsb.report.finished import rows_of


@dataclass(frozen=True, slots=True)
class Compare:
    """Two runs (numbers in the order they were named) and what came out."""

    first: Compared
    second: Compared
    found: Comparison


@settings
class Comparing:
    """Settings of a comparison.

    Attributes:
        runs: folders of finished runs, two or more.
        of: the metric.
        across_judges: whether runs by different judges may stand together.
    """

    runs: tuple[Path, ...] = pydantic.Field(min_length=2)
    of: str = "asr"
    across_judges: bool = False
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    @cached_property
    def metric(self) -> Metric:
        """What is compared.

        Raises:
            ConfigError: there is no such metric.
        """
        if (found := declared.metric(self.of)) is None:
            raise ConfigError(f"of={self.of} is no metric", suggestion(self.of, [m.name for m in declared.METRICS]))
        return found

    @cached_property
    def opened(self) -> list[Compared]:
        """The runs.

        Raises:
            ConfigError: a run is named twice, or their judges differ and nobody asked for that.
            DataError: a folder holds no finished run.
        """
        # a run against itself differs nowhere, which would look like a finding
        if len({folder.resolve() for folder in self.runs}) < len(self.runs):
            raise ConfigError("runs names one folder twice", "Name different runs.")
        runs = opened(self.runs)
        if len({run.judge for run in runs}) > 1 and not self.across_judges:
            told = "; ".join(f"{run.folder}: {run.judge}" for run in runs)
            raise ConfigError(
                f"the runs were judged by different judges, so that what differs may be the judge ({told})",
                "Judge them with one (python -m mmsb.judge run=... judge=...), or compare the judges: "
                "across_judges=true.",
            )
        return runs

    def compared(self) -> list[Compare]:
        """Every pair that says something, as one family of tests.

        Raises:
            DataError: two runs share no rated question.
        """
        pairs = list(paired(self.opened))
        # all pairs before any is corrected: Holm needs the whole family
        raw = [compare(a.rows, b.rows, self.metric, {**a.groups, **b.groups}) for a, b in pairs]
        for (a, b), comparison in zip(pairs, raw, strict=True):
            if not comparison.pairs:
                why = (
                    ", ".join(f"{n} {reason}" for reason, n in comparison.dropped.items())
                    or "nothing to rate in either"
                )
                raise DataError(
                    f"{a.folder} and {b.folder} share no question with {self.metric.title} ({why})",
                    "Compare runs of the same dataset, or another metric: of=...",
                )
        # over all pairs at once: each by itself, twenty pairs would bring one false alarm
        corrected = in_families(raw, [(rows_of(a.finished), rows_of(b.finished)) for a, b in pairs])
        return [Compare(a, b, comparison) for (a, b), comparison in zip(pairs, corrected, strict=True)]


def paired(runs: Sequence[Compared]) -> Iterator[tuple[Compared, Compared]]:
    """Under each judge every run against the first; then the same answers against themselves under another judge.

    A pair that differs in the judge and in the answers would say nothing about either, and is not made.
    """
    for run in runs:
        under = [other for other in runs if other.judge == run.judge]
        # the first run's answers under this judge too, so that under every judge the same two sets are compared
        first = next((other for other in under if other.answers == runs[0].answers), under[0])
        if first is not run:
            yield first, run
    for number, run in enumerate(runs):
        other = next((o for o in runs[:number] if o.answers == run.answers and o.judge != run.judge), None)
        if other is not None:
            yield other, run
