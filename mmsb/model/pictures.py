"""A batch's pictures, prepared on all cores: Pillow lets the interpreter go while it decodes and resizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mmsb.processes import cores

Item = TypeVar("Item")
Made = TypeVar("Made")
MOST = 16  # more would hold more decoded pictures than any GPU waits for


def side_by_side(work: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """`work` done for each item, in their order; the first error ends it."""
    with ThreadPoolExecutor(min(cores(), MOST), "mmsb-pictures") as pool:
        return list(pool.map(work, items))
