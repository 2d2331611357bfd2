"""A pipeline in several processes: `generator.replicas=8`, each on a GPU of its own, on one machine or many."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from mmsb.generator.base import Batch, Drawn
from mmsb.replicas.cluster import room_for, threads_of
from mmsb.replicas.pool import spread
from mmsb.types import Failure

if TYPE_CHECKING:
    from mmsb.generator.diffusers import Diffusers

LOST = Failure("replica_lost", "several replicas died while they drew this batch (out of memory?)")
_turn = threading.Lock()  # in a replica, which holds two batches: a pipeline's scheduler counts the steps of one


def drawings(generator: Diffusers, batches: Iterable[Batch]) -> Iterator[Drawn]:
    """Draw batches, which were made as for one process, with the generator's replicas.

    Raises:
        ConfigError: Ray is not installed, or the cluster is too small.
        ModelError: the pipeline cannot be loaded.
    """
    room = room_for("generator.replicas", generator.replicas, generator.device)
    for batch, drawn in spread(Share(replace(generator, replicas=1), threads_of(room)), batches, room):
        # Failed and listed: the same command draws the batch again.
        yield from zip(batch, drawn or [LOST] * len(batch), strict=True)


@dataclass(frozen=True)
class Share:
    """What each replica does: the whole pipeline, for the batches it is handed."""

    generator: Diffusers
    threads: int | None

    def fingerprint(self) -> dict[str, object]:
        """The generator's."""
        return self.generator.fingerprint()

    def open(self) -> None:
        """Load the pipeline."""
        self.generator.opened()

    def work(self, batch: Batch) -> list[Image.Image | Failure]:
        """Draw a batch, in its order."""
        with _turn:
            if self.threads:
                import torch

                torch.set_num_threads(self.threads)  # in this thread: OpenMP keeps the number by thread
            return [drawn for _, drawn in self.generator.draw([batch])]
