"""What keeps runs from starting: equal problems are told once, with the number of runs that have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mmsb.errors import MmsbError

SHOWN = 3  # runs named beside a problem


@dataclass
class Problems:
    """Collects what is wrong with runs.

    Attributes:
        runs: the name of each: what tells it from the others.
    """

    runs: Sequence[str]
    _found: dict[str, tuple[MmsbError, list[str]]] = field(default_factory=dict)

    def add(self, errors: Iterable[MmsbError], run: str) -> None:
        """Note what is wrong with a run, by its name."""
        for error in errors:
            # By its text: two runs build two errors that are equal in all that a person can read.
            names = self._found.setdefault(str(error), (error, []))[1]
            if run not in names:  # two parts of one run may lack the same
                names.append(run)

    def tell(self) -> None:
        """Stop where there is any.

        Raises:
            MmsbError: the problem where there is one, else all of them as one.
        """
        if not self._found:
            return
        if len(self._found) == 1:
            ((error, names),) = self._found.values()
            raise type(error)(f"{error.problem}{self._whose(names)}", error.remedy)
        lines = []
        for error, names in self._found.values():
            lines.append(f"  - {error.problem}{self._whose(names)}")
            lines += [f"      {line}" for line in error.remedy.splitlines()]
        what = "this run" if len(self.runs) == 1 else f"these {len(self.runs)} runs"
        heading = f"{len(self._found)} things keep {what} from starting, and nothing was started"
        raise MmsbError("\n".join([heading, *lines]), "")

    def _whose(self, names: list[str]) -> str:
        """Which runs: by what they have in common where that says it all, else the first of them."""
        if len(self.runs) == 1:
            return ""
        count = len(self.runs)
        if len(names) == count:
            return f" (all {count} runs)"
        shared = set.intersection(*(set(name.split(" ")) for name in names))
        if shared and sum(shared <= set(name.split(" ")) for name in self.runs) == len(names):
            named = [" ".join(part for part in names[0].split(" ") if part in shared)]
        else:
            named = [*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])]
        return f" ({len(names)} of {count} runs: {', '.join(named)})"
