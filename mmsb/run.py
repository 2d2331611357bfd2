"""A finished or running evaluation: its name, its folder, and the record of how it was made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mmsb import __version__
from mmsb.digest import digest, write_atomically
from mmsb.errors import DataError
from mmsb.gpus import VISIBLE
from mmsb.paths import PACKAGE
from mmsb.results import FILE as RESULTS
from mmsb.results import read_rows
from mmsb.schemas import parse_run

FILE = "run.json"
NOT_MEASURED = ("budget", "dry_run", "output_dir", "prices", "tracker", "trusted_packages", "withhold")
PACE = (  # how fast, and how patiently, engines are asked
    "concurrency",
    "requests_per_second",
    "tokens_per_minute",
    "timeout",
    "patience",
    "hedge_after",
    "give_up",
    "replicas",
    "threads",
)
PACKAGES = ("torch", "transformers", "openai", "mlflow", "hydra-core", "pillow", "diffusers")


def measured(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration measures: without where that is written and recorded, and how fast it is asked."""
    # Who goes on more slowly goes on with the same: its budget is not spent anew, its record is no second one.
    return {key: _without_pace(value) for key, value in config.items() if key not in NOT_MEASURED}


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as pairs of dotted key and value; a list is one value."""
    if not isinstance(value, Mapping):
        yield key, json.dumps(value) if isinstance(value, list) else value
        return
    for name, inner in value.items():
        if name != "_target_":
            yield from flatten(inner, f"{key}.{name}".lstrip("."))


def _without_pace(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_pace(part) for key, part in value.items() if key not in PACE}
    return [_without_pace(part) for part in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation.

    Attributes:
        id: its own, whatever folder it lies in.
        name: what tells it from the other runs of its sweep.
        folder: where its files lie.
        choices: the option of each config group.
        config: the whole resolved configuration.
        record: fingerprints, digests, versions, hardware, time, tokens: see `mmsb.experiment`.
        sweep: the folder of the sweep it belongs to, if any.
        place: "[3/12]": which of the sweep's runs it is, else empty.
    """

    name: str
    folder: Path
    choices: Mapping[str, str]
    config: Mapping[str, Any]
    record: dict[str, Any] = field(default_factory=dict)
    sweep: Path | None = None
    place: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def identity(self) -> str:
        """Digest of what was measured: configuration and data, without the time, the folder and the tracker."""
        # Fingerprints too: the configuration names the file of a defense's text, and not what stands in it.
        made = [self.record[part] for part in ("judge", "model", "defense")]
        return digest([measured(self.config), self.record["dataset"]["digest"], *made])

    def save(self, metrics: Mapping[str, float], results: str) -> None:
        """Write `run.json`: everything about the run but its rows.

        Args:
            metrics: the flat metrics.
            results: the digest of its results file; whoever opens the run checks it.
        """
        values = {
            "id": self.id,
            "identity": self.identity,
            "name": self.name,
            "choices": self.choices,
            "config": self.config,
            "record": self.record,
            "results_digest": results,
            "metrics": dict(metrics),
        }
        plain = json.loads(json.dumps(values, default=str))
        # Of the record itself, as rows have theirs: a rate that somebody edited would look like one that was measured.
        plain["digest"] = digest(plain)
        write_atomically(self.folder / FILE, json.dumps(plain, indent=1) + "\n")


@dataclass(frozen=True)
class SavedRun:
    """A finished run as it lies on disk: `run.json` and the rows that belong to it.

    Attributes:
        folder: where its files lie.
        values: the contents of its `run.json`.
    """

    folder: Path
    values: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> SavedRun:
        """Open a run, and see that its rows are those that its `run.json` was written for.

        Raises:
            DataError: no finished run there, rows of another run, or a record that is tied to none.
        """
        for name in (RESULTS, FILE):
            if not (folder / name).is_file():
                raise DataError(f"run={folder} has no {name}", "Name the folder of a finished run, under outputs/.")
        values = parse_run(folder / FILE).model_dump(exclude_none=True)
        # Else a file that somebody made would stand in tables as what a run has measured.
        if lacking := [name for name in ("digest", "results_digest") if name not in values]:
            raise DataError(
                f"{folder / FILE} has no {' and no '.join(lacking)}: nothing ties it to the rows beside it",
                "Run the same command again: what was answered is in the store.",
            )
        # By its bytes, before anything reads a row: numbers of one run over answers of another would look right.
        with (folder / RESULTS).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != values["results_digest"]:
            raise DataError(
                f"{folder / RESULTS} is not what {FILE} was written for: it was changed, or another run wrote it",
                "Run the same command again: what was answered is in the store.",
            )
        return cls(folder, values)

    @property
    def name(self) -> str:
        """What tells it from the others of its sweep."""
        return str(self.values["name"])

    @property
    def metrics(self) -> Mapping[str, float]:
        """Its flat metrics."""
        metrics: Mapping[str, float] = self.values["metrics"]
        return metrics

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of its results file."""
        return read_rows(self.folder / RESULTS)


def short_name(name: str) -> str:
    """A run's name without the keys, where there is little room; a table has a column for each group anyway."""
    return " ".join(short_setting(*part.partition("=")) for part in name.split(" "))


def short_setting(key: str, equals: str, value: str) -> str:
    """A bare value where it says what it is: "gpt-4o" does, "1" does not."""
    group, _, setting = key.rpartition(".")
    if not equals or (group and setting not in ("name", "name_or_path")):
        return f"{setting or key}{equals}{value}"
    return value


def told_apart(names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The runs' names as headings and rows: a column a key where all are made of the same keys, else one column."""
    parts = [[item.partition("=") for item in name.split(" ")] for name in names]
    keys = [key for key, _, _ in parts[0]]
    if all([key for key, equals, _ in part if equals] == keys for part in parts):
        return keys, [[value.replace(">", " > ") for _, _, value in part] for part in parts]
    return ["run"], [[name] for name in names]


@cache
def environment() -> dict[str, Any]:
    """Versions of code and packages, and the machine: what a result may depend on beyond its configuration."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "mmsb": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": versions,
        "platform": platform.platform(),
        "gpus": _gpus(),
        "visible_gpus": os.environ.get(VISIBLE),
    }


def _commit() -> str | None:
    # Of our own checkout, not of the folder that the command was started in.
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")  # only if the run needed it
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
