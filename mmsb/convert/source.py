"""The published files a conversion reads: what they are, where they come from, and how they are opened safely."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from mmsb.config import settings
from mmsb.errors import ModelError

RECORD = "digests.json"  # beside the published files
# safetensors first: where both are there they hold the same, and only the other kind can hold code.
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
HUB = re.compile(r"https://huggingface\.co/([\w.-]+/[\w.-]+)")
FILE_ENDINGS = (".pth", ".ckpt", ".bin", ".pt")
SINGLE = ("model.safetensors", "pytorch_model.bin")


@settings
class Source:
    """One published file, or a folder of them.

    Attributes:
        path: its name below the folder of sources; a folder is a transformers checkpoint.
        origin: where it is published.
        licence: its licence, in short.
        size_gb: its size in GB; None where not known.
        sha256: its SHA-256 (64 hex digits); None where not known, and always for a folder.
        revision: the hub's commit to download; None for what `main` names at the first download, which is kept.
        files: patterns of the names to download of a folder; empty for all that a checkpoint needs.
        root: the key under which the file keeps its weights ("model", "state_dict"); None: the file is the weights.
    """

    path: str
    origin: str
    licence: str
    size_gb: float | None = None
    sha256: str | None = None
    root: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()

    @property
    def hub(self) -> str | None:
        """The repository on the Hugging Face hub that `origin` names; None where it must be fetched by hand."""
        found = HUB.match(self.origin)
        return found[1] if found else None

    @property
    def is_file(self) -> bool:
        """Whether it is a single file."""
        return Path(self.path).suffix in FILE_ENDINGS


class Sources(Protocol):
    """Opened published files, by their entry in a model's `source`."""

    def weights(self, entry: str) -> Mapping[str, Any]:
        """Every weight by its published key, read when it is looked up."""
        ...

    def tensors(self, entry: str) -> Iterator[tuple[str, Any]]:
        """Key and tensor of every weight, one after another."""
        ...

    def folder(self, entry: str) -> Path:
        """The entry's folder (for a single file: the one it lies in)."""
        ...


class Files:
    """Published files below one folder."""

    def __init__(self, root: Path, source: Mapping[str, Source]) -> None:
        """Nothing is opened yet."""
        self.root = root
        self.source = source

    def path(self, entry: str) -> Path:
        """Where the entry lies."""
        return self.root / self.source[entry].path

    def missing(self) -> list[str]:
        """Entries that are not there, or whose download did not end."""
        # a folder exists from its first file on: the record alone tells a whole download from half a one
        unfinished = {path for path, known in read_record(self.root).items() if "files" not in known}
        return [
            entry for entry, source in self.source.items() if not self.path(entry).exists() or source.path in unfinished
        ]

    def stamp(self) -> str:
        """Names, sizes and times of change of all files: what a half-made conversion was made of."""
        lines = []
        for entry in self.source:
            path = self.path(entry)
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                stat = file.stat()
                # no digest: of 30 GB it takes minutes, and a conversion asks at each start
                lines.append(f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}")
        return "\n".join(lines)

    def folder(self, entry: str) -> Path:
        """The entry's folder (for a single file: the one it lies in)."""
        path = self.path(entry)
        return path if path.is_dir() else path.parent

    def weights(self, entry: str) -> Mapping[str, Any]:
        """Every weight by its published key, read when it is looked up.

        Raises:
            ModelError: not a file of weights.
        """
        from mmsb.convert.weights import Weights

        path = self.path(entry)
        return Weights(weight_files(path) if path.is_dir() else [path], self.source[entry].root)

    def tensors(self, entry: str) -> Iterator[tuple[str, Any]]:
        """Key and tensor of every weight, one after another."""
        yield from self.weights(entry).items()

    def check(self, entry: str) -> None:
        """Compare the entry's digest with the published one, where that is known.

        Raises:
            ModelError: they differ.
        """
        expected = self.source[entry].sha256
        if expected is None:
            return
        if (found := sha256(self.path(entry))) != expected:
            raise ModelError(
                f"{self.path(entry)} has SHA-256 {found}, the published file {expected}",
                f"Download it again from {self.source[entry].origin}.",
            )


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits: whole, since it is held against what publishers name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(root: Path) -> dict[str, dict[str, Any]]:
    """What was noted of the published files in a folder: by path, their digests at first use, and the hub's commit.

    Raises:
        ModelError: the record is broken.
    """
    path = root / RECORD
    if not path.is_file():
        return {}
    try:
        return {path: dict(known) for path, known in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is not a record of digests: {error}", "Remove it: it is made anew.") from error


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a transformers checkpoint, in order.

    Raises:
        ModelError: there are none, or a broken index.
    """
    for index in INDEXES:
        if (folder / index).is_file():
            return _indexed(folder / index)
    found = [folder / name for name in SINGLE if (folder / name).is_file()]
    if not found:
        raise ModelError(f"{folder} holds no weights ({', '.join((*INDEXES, *SINGLE))})", "Download the whole folder.")
    return found[:1]


def _indexed(index: Path) -> list[Path]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [index.parent / Path(name).name for name in sorted(names)]  # whatever folders they name
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{index} is not an index of weights", "Download the whole folder again.") from error


def check_converted(name: str, folder: str) -> None:
    """Whether the checkpoint that a conversion makes is there.

    Raises:
        ModelError: it is not; says how to make it.
    """
    if not (Path(folder).expanduser() / "config.json").is_file():
        raise ModelError(
            f"model.name_or_path={folder} is not there: {name} is converted once from its published files",
            f"python -m mmsb.convert model={name} says which files it needs and where they come from.",
        )


def published_config(folder: Path) -> dict[str, Any]:
    """The configuration beside published weights; empty where there is none."""
    # Empty where there is none: a checkpoint of weights alone keeps the sizes that its preset names.
    file = folder / "config.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
