"""What the rows of a table of defenses are called: a defense, and the setting it was measured in."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from mmsb.digest import digest
from mmsb.report.finished import Finished
from mmsb.run import flatten, measured, short_setting

NOT_SETTINGS = ("dataset", "defense", "experiment", "prices", "tracker")
OF_DEFENSES = ("dataset", "scenario", "defense", "defense_text", "defense_placement")
LONGEST = 40  # letters of a setting's value


def called(runs: Sequence[Finished]) -> list[tuple[str, str]]:
    """Of each run the name of its defense, and what besides that and the dataset tells it apart.

    That is the options of other groups and the placement; of runs that are alike in these (`model.name=a,b` of one
    option), the settings in which they differ. So two systems, or two settings of a defense, never share a name.
    """
    told = [{**run.values["choices"], "placement": run.values["config"].get("defense_placement")} for run in runs]
    groups = sorted({group for run in runs for group in run.values["choices"]} - set(NOT_SETTINGS))
    differing = [group for group in (*groups, "placement") if len({each.get(group) for each in told}) > 1]
    options = [tuple(str(each[group]) for group in differing if group in each) for each in told]
    config = [measured(run.values["config"]) for run in runs]
    rest = [flatten({key: part for key, part in one.items() if key not in OF_DEFENSES}) for one in config]
    settings = [", ".join(parts) for parts in _apart(options, [dict(one) for one in rest])]
    own = [dict(flatten(one.get("defense") or {})) | dict(_made(run)) for one, run in zip(config, runs, strict=True)]
    defenses = _apart([(setting, run.defense) for setting, run in zip(settings, runs, strict=True)], own)
    return [(" ".join(parts[1:]), setting) for parts, setting in zip(defenses, settings, strict=True)]


def _made(run: Finished) -> Iterator[tuple[str, Any]]:
    """Texts as the run had them: the file that a setting names may have been edited since."""
    return flatten({"made": run.defended})


def _apart(names: Sequence[tuple[str, ...]], settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The names, and behind those that several share the fewest settings in which these differ."""
    keys = dict.fromkeys(key for each in settings for key in each)
    # A name says most; what is made from it (a judge's from its model's) then tells nothing more.
    for key in sorted(keys, key=lambda key: (key.startswith("made."), not key.endswith("model.name"), key)):
        found = [" ".join(str(each.get(key, "-")).split()) for each in settings]
        values: dict[Hashable, set[str]] = {}
        for name, value in zip(names, found, strict=True):
            values.setdefault(name, set()).add(value)
        names = [
            (*name, short_setting(key, "=", _brief(value))) if len(values[name]) > 1 else name
            for name, value in zip(names, found, strict=True)
        ]
    return list(names)


def _brief(value: str) -> str:
    """A long text by its beginning; others that begin alike are told by their digests."""
    return value if len(value) <= LONGEST else f"{textwrap.shorten(value, LONGEST)} ({digest(value)[:6]})"
