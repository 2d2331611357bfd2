"""How many calls a sample makes at least and at most, whatever is replied: found by trying what checks listen to.

A reply that leads on in one place ends the way in another (a guard says yes, and nothing is asked). So each kind of
call is given each reply, one kind after the other, those before it as they led to the most, or the fewest, calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from mmsb.preflight.calls import Calls, Kind, Said

# None: a long answer that says neither yes nor no. Of an empty one no judge is asked.
LEADS = (None, "", "Yes.", "No.", "safe", "unsafe", "[Answer] safe", "[Answer] unsafe")


Fly = Callable[[Sequence[Said]], Sequence[Calls]]  # a sample's way, each time with other replies


@dataclass
class Ends:
    """Calls that are left of a sample, by model, and the ways that it may go."""

    least: Counter[str] | None = None
    most: Counter[str] = field(default_factory=Counter)
    ways: set[tuple[tuple[Kind, bool], ...]] = field(default_factory=set)

    @property
    def branches(self) -> bool:
        """Whether what is replied changes what is asked."""
        return len(self.ways) > 1

    def add(self, calls: Calls, replied: bool = True) -> None:
        """One more way that it may go; `replied`: not with nothing."""
        if replied:
            self.ways.add(tuple((made.kind, made.origin is not None) for made in calls))
        # What others may ask too is asked once, or is answered by then.
        least = Counter(made.kind.model for made in calls if not made.known and not made.follows)
        self.least = least if self.least is None else self.least & least
        self.most |= calls.left


@dataclass
class Bounds:
    """The ends of samples that can go on in the same ways, found once."""

    _found: dict[Hashable, Ends] = field(default_factory=dict)

    def of(self, way: Hashable, flies: Sequence[Fly]) -> Ends:
        """Those of a way; `flies` are some of the samples that go it."""
        if way not in self._found:
            self._found[way] = ends = Ends()
            for fly in flies:
                _try(fly, ends)
        return self._found[way]


def _try(fly: Fly, ends: Ends) -> None:
    """Add the ways of one sample."""
    [plain] = fly([Said(None)])
    # What later prompts are made of is no word that a check listens to; it may be long, or nothing.
    texts = dict.fromkeys(filter(None, (made.origin for made in plain)))
    same = [Said(lead, texts) for lead in LEADS[1:]] + [Said(None, dict.fromkeys(texts, ""))]
    found = [(Said(None), plain), *zip(same, fly(same), strict=True)]
    for one, calls in found:
        ends.add(calls, replied="" not in (one.lead, *one.but.values()))
    for best in (max, min):
        said, calls = best(found, key=_left)
        done = set[Kind](texts)
        while kind := next((made.kind for made in calls if made.kind not in done), None):
            done.add(kind)
            others = [Said(said.lead, {**said.but, kind: lead}) for lead in LEADS if lead != said.to(kind)]
            tried = list(zip(others, fly(others), strict=True))
            for one, way in tried:
                ends.add(way, replied="" not in (one.lead, *one.but.values()))
            said, calls = best([(said, calls), *tried], key=_left)


def _left(one: tuple[Said, Calls]) -> int:
    return one[1].left.total()
