"""Weights in files of either kind, read one by one. Nothing in a pickled file is ever run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from mmsb.errors import ModelError


class Weights(Mapping[str, Any]):
    """The weights of one or several files by their keys; each is read when it is looked up."""

    def __init__(self, files: Sequence[Path], root: str | None = None) -> None:
        """Read the keys.

        Args:
            files: safetensors, or pickled state dicts (.pth, .bin, .ckpt).
            root: the key under which a pickled file keeps its weights; None: the file is the weights.

        Raises:
            ModelError: a file that holds no weights.
        """
        self._read: dict[str, Callable[[], Any]] = {}
        for file in files:
            # As functions that read: of a 13B model only one weight at a time is in memory.
            self._read |= _safe(file) if file.suffix == ".safetensors" else _pickled(file, root)

    def __getitem__(self, key: str) -> Any:
        return self._read[key]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def _safe(file: Path) -> dict[str, Callable[[], Any]]:
    try:
        weights = safe_open(file, framework="pt")
        return {key: partial(weights.get_tensor, key) for key in list(weights.keys())}  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as error:
        raise unreadable(file, error) from error


def _pickled(file: Path, root: str | None) -> dict[str, Callable[[], Any]]:
    held = _unpickled(file)
    if root is not None and root not in held:
        raise ModelError(f"{file} holds no `{root}`, but {', '.join(list(map(str, held))[:5])}", "Check its origin.")
    state = held if root is None else held[root]
    if not isinstance(state, Mapping):
        raise ModelError(f"{file} holds a {type(state).__name__}, not weights", "Check its origin.")
    # Numbers and texts beside the weights (an epoch, arguments) are training's own.
    return {key: partial(state.__getitem__, key) for key, value in state.items() if isinstance(value, torch.Tensor)}


def _unpickled(file: Path) -> Mapping[str, Any]:
    """The content of a pickled file: tensors and plain values only, mapped into memory where the format allows it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that torch did not write
            content = _loaded(file)
    except Exception as error:  # a broken pickle may raise anything
        raise unreadable(file, error) from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{file} holds a {type(content).__name__}, not weights", "Check its origin.")
    return content


def _loaded(file: Path) -> Any:
    try:
        # `weights_only` on both lines: it alone keeps a pickle from running code.
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # the format before torch 1.6 cannot be mapped
        return torch.load(file, map_location="cpu", weights_only=True)


def unreadable(file: Path, error: Exception) -> ModelError:
    """What to say about a file that holds no plain weights."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ModelError(
        f"{file} cannot be read as plain weights: {reason}",
        "Download it again from its origin. A file that wants to run code is never opened.",
    )
