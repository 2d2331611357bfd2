"""The page of a sweep for others: what it must not show, and how a tracker that keeps it with the sweep comes by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mmsb.config import TARGET_PACKAGES
from mmsb.report.finished import Finished
from mmsb.report.page import FILE, PICTURES, one_file, write_page
from mmsb.withholding import Withhold, strictest


def page_of(
    runs: Sequence[Finished], folder: Path, written: Withhold | None = None
) -> Callable[[Withhold, Path], Path | None]:
    """How a tracker gets the page of a sweep, as one file; it gets none where that would be too large.

    Args:
        runs: the sweep's.
        folder: the sweep's, with the thumbnails of its page.
        written: what the page in that folder withholds; None: it is not known to be of these runs.
    """

    def made(withhold: Withhold, into: Path) -> Path | None:
        # A tracker shows it inside its own page, from one address: a folder in chunks could not find its parts there.
        if not one_file(runs):
            return None
        if withhold == written:
            return folder / FILE
        if withhold != "all" and (folder / PICTURES).is_dir():
            shutil.copytree(folder / PICTURES, into / PICTURES)  # to make them takes longer than all the rest
        return write_page(runs, into, withhold, "file", packages(runs))

    return made


def withheld(runs: Sequence[Finished]) -> Withhold:
    """What the strictest of the runs withholds."""
    return strictest(*(run.values["config"].get("withhold", "nothing") for run in runs))


def packages(runs: Sequence[Finished]) -> tuple[str, ...]:
    """The packages that the runs' datasets may come from."""
    trusted = {str(name) for run in runs for name in run.values["config"].get("trusted_packages") or ()}
    return (*TARGET_PACKAGES, *sorted(trusted))
