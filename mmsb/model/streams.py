"""Batch after batch through a local model: the next is encoded while one is answered.

A small model on a CPU gains little from a second thread, and much from a second stream: where no answer depends on its
batch, each batch is divided, and its parts are answered side by side.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mmsb.model.base import Batch, Reply
from mmsb.model.device import pick_device
from mmsb.processes import cores

if TYPE_CHECKING:
    from mmsb.model.local import Local

SMALLEST = 8  # prompts of a part: fewer take more work each than a core more can do


def answers(engine: Local, batches: Iterable[Batch]) -> Iterator[Reply]:
    """Answer each batch, in order; the model is loaded when the first one comes.

    Raises:
        ModelError: the model cannot be loaded.
    """
    with Streams(engine) as streams:
        ready: list[Callable[[], list[Reply]]] = []
        for batch in batches:
            # One ahead and no more: a second would only hold pixels in memory.
            begun = streams.begin(batch)
            for part in ready:
                yield from part()
            ready = begun
        for part in ready:
            yield from part()


class Streams:
    """The threads that encode and answer one engine's batches."""

    def __init__(self, engine: Local) -> None:
        """Nothing is begun yet."""
        self._engine = engine
        # One thread: a tokenizer keeps its padding in itself, and two calls at a time would mix it up.
        self._encoding = ThreadPoolExecutor(1, "mmsb-inputs", engine.set_threads)
        self._own = threading.local()

    def __enter__(self) -> Streams:
        """Threads start when there is work."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for what runs; what has not begun is dropped."""
        # The one that waits for inputs first: it would wait for ever for those that are dropped.
        if self._at_a_time > 1:
            self._answering.shutdown(wait=False, cancel_futures=True)
        self._encoding.shutdown(cancel_futures=True)
        if self._at_a_time > 1:
            self._answering.shutdown()

    def begin(self, batch: Batch) -> list[Callable[[], list[Reply]]]:
        """Begin with a batch; each of what comes back waits for the answers to one part of it."""
        # Only when there is a batch: a run whose answers are all stored loads no weights.
        loaded = self._engine.opened()
        return [self._begin(loaded, part) for part in parts(batch, self._at_a_time)]

    def _begin(self, loaded: Any, part: Batch) -> Callable[[], list[Reply]]:
        inputs = self._encoding.submit(self._engine.encoded, loaded, part).result
        if self._at_a_time == 1:
            return partial(self._engine.answered, loaded, part, inputs)
        return self._answering.submit(self._answer, loaded, part, inputs).result

    def _answer(self, loaded: Any, part: Batch, inputs: Callable[[], Any]) -> list[Reply]:
        if not hasattr(self._own, "twin"):
            # Some models keep the positions of a batch in themselves from one token to the next.
            self._own.twin = twin(loaded)
        return self._engine.answered(self._own.twin, part, inputs, self._at_a_time)

    @cached_property
    def _at_a_time(self) -> int:
        return at_a_time(self._engine)

    @cached_property
    def _answering(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._at_a_time, "mmsb-answers", self._engine.set_threads)


def at_a_time(engine: Local) -> int:
    """How many parts of batches are answered at a time: as many as the CPU has cores for, with `threads` each.

    Together never more than `batch_size` prompts. 1 where an answer depends on its batch, and with stop strings, for
    which `generate` calls the one tokenizer.
    """
    depends = engine.dtype != "float32" or engine.decoding.get("do_sample") or getattr(engine, "stop", ())
    # Of the class itself: one that is derived from it may hold what a twin would not.
    twins = vars(type(engine)).get("TWINS", False)
    if depends or not twins or not engine.threads or getattr(engine, "device_map", None):
        return 1
    most = min(cores() // engine.threads, engine.batch_size // SMALLEST)
    return max(1, most) if pick_device(engine.device) == "cpu" else 1


def twin(loaded: Any) -> Any:
    """A loaded model with modules of its own and the same weights."""
    weights = {id(tensor): tensor for tensor in (*loaded.model.parameters(), *loaded.model.buffers())}
    return replace(loaded, model=copy.deepcopy(loaded.model, weights))


def parts(batch: Batch, number: int) -> list[Batch]:
    """A batch in at most `number` parts of about the same length: one, or several of at least `SMALLEST` prompts."""
    number = max(1, min(number, len(batch) // SMALLEST))
    bounds = [len(batch) * part // number for part in range(number + 1)]
    return [batch[start:end] for start, end in pairwise(bounds)]
