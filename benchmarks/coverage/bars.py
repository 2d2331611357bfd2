"""What the intervals and tests must reach, by family and size of cells, and what they reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from benchmarks.coverage.simulate import Found

TYPE_ONE = 0.065
WIDTHS = {"macro": {"5": 1.20, "8": 1.15, "real": 1.04}, "macro change": {"5": 1.30, "8": 1.20, "real": 1.05}}


@dataclass(frozen=True)
class Line:
    """A family of cells of one size; widths are in the oracle's, a median over the cells that have one."""

    family: str
    size: str
    cells: int
    mean: float
    least: float
    width: float | None
    broken: int
    deviance_rejects: float | None
    sign_rejects: float | None

    @property
    def bar(self) -> float:
        """The coverage that every cell must reach."""
        return 0.92 if "repeats" in self.family else 0.925

    @property
    def widest(self) -> float | None:
        """The width that the median must stay below."""
        return WIDTHS.get(self.family, {}).get(self.size)


def judged(found: Iterable[Found]) -> list[Line]:
    """The cells summed up by family and size, in their order."""
    grouped: defaultdict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        grouped[one.cell.family, one.cell.size].append(one)
    return [_line(family, size, some) for (family, size), some in grouped.items()]


def _line(family: str, size: str, found: Sequence[Found]) -> Line:
    widths = [one.width for one in found if one.width is not None]
    deviance = [one.deviance_rejects for one in found if one.deviance_rejects is not None]
    signs = [one.sign_rejects for one in found if one.sign_rejects is not None]
    return Line(
        family,
        size,
        len(found),
        fmean(one.coverage for one in found),
        min(one.coverage for one in found),
        median(widths) if widths else None,
        sum(one.broken for one in found),
        max(deviance, default=None),
        max(signs, default=None),
    )


def missed(lines: Iterable[Line]) -> list[Line]:
    """The lines that miss a bar."""
    return [line for line in lines if not _reached(line)]


def _reached(line: Line) -> bool:
    narrow = line.widest is None or line.width is None or line.width <= line.widest
    calm = all(rate is None or rate <= TYPE_ONE for rate in (line.deviance_rejects, line.sign_rejects))
    return line.least >= line.bar and narrow and calm and line.broken == 0
