"""What runs in an actor, and what is asked of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from mmsb.digest import digest, digest_file
from mmsb.paths import PACKAGE

PACKAGES = ("torch", "transformers", "tokenizers", "diffusers", "pillow")  # what answers and pictures depend on


class Share(Protocol):
    """The work of every replica, as light settings: what is heavy is opened in the replica."""

    def fingerprint(self) -> Mapping[str, object]:
        """What determines the outcomes; every replica must have the same."""
        ...

    def open(self) -> None:
        """Load what is heavy, unless it is loaded."""
        ...

    def work(self, batch: Any) -> Sequence[Any]:
        """The outcomes of a batch, in its order. Two calls may run at a time."""
        ...


class Replica:
    """An actor."""

    def __init__(self, folder: str) -> None:
        """`folder`: where the command was given, so that relative paths mean the same here."""
        if Path(folder).is_dir():
            os.chdir(folder)
        self._opening = threading.Lock()

    def open(self, share: Share) -> tuple[str, str, dict[str, str]]:
        """Load, and say where this replica runs, on which GPU, and what its outcomes depend on."""
        # Another pass may begin while the last one's replica still loads, and libraries change torch as they load.
        with self._opening:
            share.open()
        return os.uname().nodename, _gpu(), identity(share)

    def work(self, share: Share, batch: Any) -> Sequence[Any]:
        """The outcomes of a batch."""
        return share.work(batch)


def identity(share: Share) -> dict[str, str]:
    """What outcomes depend on: settings and weights, packages, our own code."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {"weights and settings": digest(dict(share.fingerprint())), "code of mmsb": _code(), **versions}


@cache
def _code() -> str:
    return digest([digest_file(path) for path in sorted(PACKAGE.rglob("*.py"))])


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
