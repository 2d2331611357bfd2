"""What runs, what is left and what failed, of every run in an output folder, read from what the runs have written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException
from pydantic import PositiveInt
from rich.markup import escape
from rich.table import Table

from mmsb.bill import kept_plan, paid, told
from mmsb.cli import ERROR_FILE, STOPPED_FILE
from mmsb.config import settings
from mmsb.console import tell
from mmsb.errors import DataError
from mmsb.model.ledger import under_way
from mmsb.outside import noted
from mmsb.prices import duration, money
from mmsb.report.progress import Going, address, run_folders
from mmsb.results import claimed
from mmsb.run import short_name
from mmsb.spending import identity
from mmsb.terminal import LEFT, print_table
from mmsb.tracker.base import Sweep


@settings
class Status:
    """Settings of a look.

    Attributes:
        output_dir: where the runs are.
        newest: how many sweeps and single runs are shown, the newest first.
    """

    output_dir: Path = Path("outputs")
    newest: PositiveInt = 10
    trusted_packages: tuple[str, ...] = ()

    def print(self) -> None:
        """Print a line a run, and below them what a sweep has left."""
        every = list(run_folders(self.output_dir, noted(self.output_dir)).items())
        # Years of runs would fill the screen; the newest are what one looks for, and whatever goes on.
        places = [one for place, one in enumerate(every) if place < self.newest or any(map(claimed, one[1]))]
        if not places:
            print(f"no run in {self.output_dir} yet")
            return
        table = Table(title=f"Runs in {escape(str(self.output_dir))}", title_style="bold", **LEFT)
        for heading in ("run", "state", "samples", "failed", "left", "spent"):
            table.add_column(heading, overflow="fold", justify="left" if heading in ("run", "state") else "right")
        since = self._since(places)
        notes = list(_older([one for one in every if one not in places], len(every)))
        for name, folders in places:
            table.add_section()
            # One broken file must not keep all other runs from being told.
            for folder in folders:
                try:
                    table.add_row(*map(escape, self._row(folder)))
                except DataError as error:
                    table.add_row(escape(address(folder, self.output_dir)), "unreadable")
                    notes.append(f"{error.problem}. {error.remedy}")
            try:
                notes += list(self._left(name, folders, since.get(name)))
            except DataError as error:
                notes.append(f"{self.output_dir / name}: {error.problem}. {error.remedy}")
        print_table(table)
        for note in (*notes, *under_way(self.output_dir / "store")):
            tell(note)

    def _row(self, folder: Path) -> list[str]:
        going = Going(folder)
        now = going.look()
        # The dataset of an old run may be gone by now, and the run is still worth its line.
        total = f"{now['total']:,}" if now["total"] is not None else "?"
        # By the lock, which a killed process lets go of: its files look as if it still ran.
        running = claimed(folder)
        left = duration(now["left"]) if running and now["left"] else ""
        name = address(folder, self.output_dir)
        named = short_name(going.run.name) if now["finished"] else ""
        return [
            f"{name}\n{named}".strip(),
            "finished" if now["finished"] else "running" if running else "failed" if _failed(folder) else "stopped",
            f"{now['done']:,}/{total}",
            f"{now['failed']:,}",
            left,
            _spent(folder),
        ]

    def _since(self, places: Sequence[tuple[str, list[Path]]]) -> dict[str, str]:
        """Of sweeps and single runs, the newest first, the later one in which the same command came to its end."""
        done, found = dict[str, str](), dict[str, str]()
        for name, folders in places:
            try:
                sweep = Sweep.at(self.output_dir / name)
                command = sweep.identity if sweep else identity(Going(folders[0]).config)
            # Said with the sweep; or a run that somebody moved here without what Hydra wrote of it.
            except (DataError, OmegaConfBaseException, OSError):
                continue
            if command in done:
                found[name] = done[command]
            elif len(folders) == (sweep.runs if sweep else 1) and all(Going(folder).finished for folder in folders):
                done[command] = name
        return found

    def _left(self, name: str, folders: list[Path], since: str | None) -> Iterator[str]:
        """What a person would do about what is not finished; `since`: where the same command was, later."""
        for folder in filter(_failed, folders):
            yield f"{folder}: {(folder / ERROR_FILE).read_text(encoding='utf-8').splitlines()[0]}"
        place = self.output_dir / name
        sweep = Sweep.at(place)
        ended = [*place.glob(STOPPED_FILE), *place.glob(f"*/{STOPPED_FILE}")]
        if ended and not since:
            count = f": {len(ended)} of {sweep.runs} runs" if sweep and sweep.runs else ""
            yield f"{place}: stopped by the budget{count}; the same command with more goes on"
        begun = len({*folders, *(path.parent for path in ended)})
        # A folder comes with a run: those that have not begun have left nothing to be counted but this difference.
        if sweep and sweep.runs and begun < sweep.runs and not since:
            yield f"{place}: {sweep.runs - begun} of {sweep.runs} runs have not begun"
        # All folders: of a run that was stopped before its first row only the bill is left.
        if spent := paid([place, *sorted(place.glob("*/"))]):
            yield f"{place}: {told(spent, kept_plan(place))}"
        budgeted = {path.parent for path in ended}
        left = [one for one in folders if not Going(one).finished and not claimed(one) and one not in budgeted]
        if since and (ended or left or (sweep and sweep.runs and begun < sweep.runs)):
            yield f"{place}: it did not come to its end; the same command did since, in {self.output_dir / since}"
        elif left:
            yield f"{place}: {len(left)} stopped before the end; the same command again goes on from the store"


def _older(places: Sequence[tuple[str, list[Path]]], most: int) -> Iterator[str]:
    """A line about what is not shown."""
    if places:
        open_ = sum(not Going(folder).finished for _, folders in places for folder in folders)
        runs = f", {open_:,} of whose runs did not come to their end" if open_ else ""
        yield f"{len(places):,} older sweeps and single runs are not shown{runs}: newest={most} shows them"


def _failed(folder: Path) -> bool:
    return (folder / ERROR_FILE).is_file()


def _spent(folder: Path) -> str:
    # By its bill: what all its answers would have cost, had none been stored, was spent by no run.
    try:
        spent = paid([folder])
    except DataError:  # said below the table
        return "?"
    if spent is None or spent.dollars == 0:
        return ""
    return "unknown" if spent.dollars is None else money(spent.dollars)
