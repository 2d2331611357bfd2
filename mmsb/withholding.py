"""What of a run is left out where others may look: pages to share, and trackers that several people use.

`withhold=answers` leaves out all that a model or a judge wrote, `all` also what was asked and shown. Verdicts stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Withhold = Literal["nothing", "answers", "all"]
Row = Mapping[str, Any]

WRITTEN = ("response", "judge_reply", "judge_details", "steps", "message", "cause")
ASKED = ("question", "key_phrase", "prompt", "system", "image")


def strictest(*levels: Withhold) -> Withhold:
    """The level that leaves out most."""
    return max(levels, key=get_args(Withhold).index)


def without(row: Row, withhold: Withhold) -> dict[str, Any]:
    """A row of the results without what is withheld.

    Args:
        row: as the results have it.
        withhold: a prompt is left out with the answers where a defense took steps: it may quote what a model said.
    """
    if withhold == "nothing":
        return dict(row)
    # Names of what goes, and a row of what stays: a key that a later version adds is told, so it belongs in one of the
    # two lists above from its first day.
    gone = {*WRITTEN, *(ASKED if withhold == "all" else ()), *(("prompt", "system") if row.get("steps") else ())}
    return {key: value for key, value in row.items() if key not in gone}
