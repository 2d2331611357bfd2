"""How far the runs of an output folder are, read from what they have written so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmsb.calls import FILE as CALLS
from mmsb.calls import LIVE as LIVE_CALLS
from mmsb.cost import Costs
from mmsb.errors import MmsbError
from mmsb.outside import KINDS
from mmsb.prices import Prices, recorded_prices
from mmsb.report.finished import Finished, finished_run
from mmsb.report.pictures import Recorded
from mmsb.results import FILE, LIVE
from mmsb.run import FILE as RUN

HYDRA = ".hydra"
SECOND = len("2026-01-31_12-34-56")
COUNTED = ("done", "failed", "unparsed", "calls", "tokens")


@dataclass
class Tail:
    """A file of lines that is still written to: each line is read once, the last one only when it is whole."""

    path: Path
    offset: int = 0

    def lines(self) -> Iterator[dict[str, Any]]:
        """What is new since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self.offset += len(line)
                    yield orjson.loads(line)
        except FileNotFoundError:
            return  # not begun, or ended this moment


@dataclass
class Going:
    """One run's folder, followed while its rows and calls arrive."""

    folder: Path
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    costs: Costs = field(default_factory=Costs)
    _rows: Tail | None = None
    _calls: Tail | None = None

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return (self.folder / RUN).is_file()

    @property
    def run(self) -> Finished:
        """The run as a report takes it; without metrics while it goes on."""
        if self.finished:
            return finished_run(self.folder)
        return Finished(self.folder, self._described)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration, resolved, as Hydra has written it at the start."""
        config = OmegaConf.to_container(OmegaConf.load(self.folder / HYDRA / "config.yaml"), resolve=True)
        assert isinstance(config, dict)
        return {str(key): value for key, value in config.items()}

    @cached_property
    def _described(self) -> Mapping[str, Any]:
        """What `run.json` will say, as far as Hydra has written it at the start."""
        hydra = OmegaConf.to_container(OmegaConf.load(self.folder / HYDRA / "hydra.yaml"), resolve=False)
        assert isinstance(hydra, dict)
        choices = {key: value for key, value in hydra["hydra"]["runtime"]["choices"].items() if "hydra/" not in key}
        found = {"choices": choices, "config": self.config}
        if judged := self.config.get("run"):  # of mmsb.judge: whose answers they are stands in that run alone
            with suppress(MmsbError):
                about = finished_run(Path(judged)).values
                found = {key: {**about[key], **values} for key, values in found.items()}
        return {"name": self.folder.name, **found, "record": {}, "metrics": {}}

    @cached_property
    def total(self) -> int | None:
        """How many samples there will be; None where the dataset cannot be read now."""
        try:
            values = self.run.values
            records = Recorded(self.folder, values=values).records
            repeats = int(values["config"]["model"].get("repeats") or 1)
            return repeats * sum(len(questions) for questions in records.values())
        except (MmsbError, OmegaConfBaseException, KeyError, OSError):
            return None

    def look(self) -> dict[str, Any]:
        """Count the rows that are new since the last look, and say how far the run is."""
        self._count()
        finished, done = self.finished, self.counts["done"]
        total = done if finished else self.total
        # Hydra writes this file once, at the start; the folder itself changes with every file in it.
        began = _changed(self.folder / HYDRA / "config.yaml")
        seconds = time.time() - began if began else 0.0
        rate = done / seconds if done and seconds > 0 and not finished else None
        left = (total - done) / rate if total is not None and rate else None
        last = _changed(self.folder / LIVE)
        idle = time.time() - last if last and not finished else None
        far = {"total": total, "finished": finished, "rate": rate, "left": left, "idle": idle}
        return self.counts | far | self._spent()

    def _count(self) -> None:
        rows, calls = (self._followed(*names) for names in ((FILE, LIVE), (CALLS, LIVE_CALLS)))
        if self._rows is None or again(self._rows, rows):  # another file: count it from its beginning
            self._rows, self.counts = Tail(rows), dict.fromkeys(COUNTED, 0)
        if self._calls is None or again(self._calls, calls):
            self._calls, self.costs = Tail(calls), Costs()
        for row in self._rows.lines():
            self._add(row)
        for call in self._calls.lines():
            self.costs.add_recorded(call)

    def _followed(self, final: str, live: str) -> Path:
        return self.folder / (final if (self.folder / final).is_file() else live)

    def _spent(self) -> dict[str, Any]:
        """What the calls so far cost, as if nothing had been in the store, and which models have no price."""
        cost = self._bill if self.finished else self.costs.record(self._prices)
        known = [line["dollars"] for line in cost["lines"] if line["dollars"] is not None]
        return {"dollars": sum(known) if known else None, "unpriced": cost["unpriced"]}

    @cached_property
    def _prices(self) -> Prices | None:
        try:
            return recorded_prices(self.run.values["config"])
        except OSError:  # it begins this moment
            return None

    @cached_property
    def _bill(self) -> Mapping[str, Any]:
        """What a finished run cost, its defenses' preparations included, which are in no sample's calls."""
        found: Mapping[str, Any] = self.run.values["record"].get("cost") or self.costs.record(self._prices)
        return found

    def _add(self, row: Mapping[str, Any]) -> None:
        self.counts["done"] += 1
        self.counts["failed"] += row["label"] == "failed"
        self.counts["unparsed"] += row["label"] == "unparsed"
        self.counts["calls"] += row.get("calls") or 0
        self.counts["tokens"] += (row.get("input_tokens") or 0) + (row.get("output_tokens") or 0)


def again(followed: Tail, path: Path) -> bool:
    """Whether `path` is not what was followed so far: another file, or a shorter one."""
    # The same name does not mean the same file: a command that is run again begins a new one.
    return path != followed.path or (path.is_file() and path.stat().st_size < followed.offset)


def run_folders(output_dir: Path, outside: Mapping[Path, str] | None = None) -> dict[str, list[Path]]:
    """The folders of runs by the address of their page ("sweeps/DATE", "runs/DATE"), newest first.

    A run counts as soon as it has begun: Hydra writes its configuration, or a re-judged run its record.

    Args:
        output_dir: where runs lie that nobody gave another folder.
        outside: others, by their date; their address is their path.
    """
    dated = {place: place.name for kind in KINDS for place in (output_dir / kind).glob("*") if place.is_dir()}
    found = {}
    for place, _ in sorted({**dated, **(outside or {})}.items(), key=_began, reverse=True):
        inside = sorted(place.glob("*/"), key=lambda path: (len(path.name), path.name))
        members = [folder for folder in (place, *inside) if _is_run(folder)]
        if members:
            found[address(place, output_dir)] = members
    return found


def _began(dated: tuple[Path, str]) -> tuple[str, float, str]:
    # Of two in one second the names end with letters of chance.
    place, date = dated
    return date[:SECOND], _changed(place / HYDRA / "config.yaml") or 0.0, date


def address(place: Path, output_dir: Path) -> str:
    """A folder as it is named in lists: below `output_dir`, or whole."""
    whole, above = place.absolute(), output_dir.absolute()
    return whole.relative_to(above).as_posix() if whole.is_relative_to(above) else str(whole)


def _is_run(folder: Path) -> bool:
    begun = (folder / HYDRA / "config.yaml").is_file() and (folder / LIVE).is_file()
    return begun or ((folder / RUN).is_file() and (folder / FILE).is_file())


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
