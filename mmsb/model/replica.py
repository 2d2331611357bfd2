"""A local model in several processes: `model.replicas=8`, each on a GPU of its own, on one machine or many."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mmsb.model.base import Batch, Reply
from mmsb.picture import BytesPicture, FilePicture
from mmsb.replicas.cluster import room_for, threads_of
from mmsb.replicas.pool import spread
from mmsb.types import Failure, Outcome

if TYPE_CHECKING:
    from mmsb.model.local import Local

LOST = Failure("replica_lost", "several replicas died while they answered this batch (out of memory?)")
_opening = threading.Lock()  # in a replica, where two batches are worked on at a time: one load
_turn = threading.Lock()  # likewise: one batch is answered while the other is encoded


def answers(model: Local, batches: Iterable[Batch]) -> Iterator[Reply]:
    """Answer batches, which were made as for one process, with the model's replicas.

    Raises:
        ConfigError: Ray is not installed, or the cluster is too small.
        ModelError: the model cannot be loaded.
    """
    spread_out = getattr(model, "device_map", None) is not None
    room = room_for("model.replicas", model.replicas, model.device, model.threads or 1, spread_out)
    alone = replace(model, replicas=1, threads=model.threads or threads_of(room))
    for batch, outcomes in spread(Share(alone), map(portable, batches), room):
        yield from zip(batch, outcomes or [LOST] * len(batch), strict=True)


@dataclass(frozen=True)
class Share:
    """What each replica does: the whole model, for the batches it is handed."""

    model: Local

    def fingerprint(self) -> dict[str, object]:
        """The model's."""
        return self.model.fingerprint()

    def open(self) -> None:
        """Load the model."""
        with _opening:
            self.model.opened()

    def work(self, batch: Batch) -> list[Outcome]:
        """Answer a batch."""
        with _opening:
            loaded = self.model.opened()
        # `encoded`, as in one process: a prompt whose logits are set against another text's is a pair.
        inputs = _encoder().submit(self.model.encoded, loaded, batch)
        # Waits before it looks at the inputs: two batches in one GPU's memory are what `batch_size` was not chosen for.
        with _turn:
            return [outcome for _, outcome in self.model.answered(loaded, batch, inputs.result)]


def portable(batch: Batch) -> Batch:
    """A batch whose picture files travel with it: another node may not have them."""
    return tuple(
        # The same bytes, so the same identity and key: an answer is found again however it was asked.
        replace(prompt, image=BytesPicture(Path(prompt.image.path).read_bytes(), str(prompt.image.path)))
        if isinstance(prompt.image, FilePicture)
        else prompt
        for prompt in batch
    )


@cache
def _encoder() -> ThreadPoolExecutor:
    """One thread: a tokenizer must not be called by two."""
    return ThreadPoolExecutor(1, "mmsb-inputs")
