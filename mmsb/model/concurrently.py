"""Asynchronous work for synchronous callers: items are read as they are needed, results come as they finish.

    reading thread: items ──▶ event loop in a thread: at most `limit` under way ──▶ caller's thread: results

Reading pauses while `limit + AHEAD` items are between being read and being taken, so memory stays flat
however many there are, and however slow the caller is.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from enum import Enum, auto
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Session = Callable[[], AbstractAsyncContextManager[Callable[[T], Awaitable[R]]]]

AHEAD = 16  # keeps the workers busy while the caller takes a result
CLOSING_SECONDS = 5.0  # a reader that waits for something itself is not waited for longer


class _Mark(Enum):
    END = auto()


def concurrently(items: Iterable[T], session: Session[T, R], limit: int) -> Iterator[R]:
    """Do the work of each item, `limit` at a time; give the results in the order they finish.

    Args:
        items: read in a thread of its own; closed there at the end if it is a generator.
        session: opened on the event loop around all the work; gives the coroutine function that does it.
        limit: how many items are worked on at a time.

    Raises:
        Exception: the first one that reading, the session or the work raised; what is under way is cancelled.
    """
    flow = _Flow(items, session, limit)
    try:
        yield from flow.results()
    finally:
        flow.close()


class _Flow(Generic[T, R]):
    """The two threads of one call, and what passes between them."""

    def __init__(self, items: Iterable[T], session: Session[T, R], limit: int) -> None:
        self._items = items
        self._session = session
        self._limit = limit
        self._room = threading.Semaphore(limit + AHEAD)
        self._stopping = threading.Event()
        self._in: asyncio.Queue[T | _Mark] = asyncio.Queue()
        self._out: queue.SimpleQueue[R | Exception | _Mark] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._serving: asyncio.Task[None] | None = None
        self._reader = threading.Thread(target=self._read, name="mmsb-reader", daemon=True)
        self._server = threading.Thread(target=self._run, name="mmsb-requests", daemon=True)

    def results(self) -> Iterator[R]:
        self._server.start()
        self._reader.start()
        while (result := self._out.get()) is not _Mark.END:
            if isinstance(result, Exception):
                raise result
            self._room.release()
            yield result

    def close(self) -> None:
        """Cancel what is under way and end both threads."""
        self._stopping.set()
        self._room.release()
        with suppress(RuntimeError):  # all was done: the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)
        self._server.join()
        self._reader.join(CLOSING_SECONDS)

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()

    def _read(self) -> None:
        items = iter(self._items)
        try:
            while self._may_read() and (item := next(items, _Mark.END)) is not _Mark.END:
                self._hand_over(item)
        except Exception as error:
            self._out.put(error)
        finally:
            self._hand_over(_Mark.END)
            if close := getattr(items, "close", None):
                close()

    def _may_read(self) -> bool:
        self._room.acquire()
        return not self._stopping.is_set()

    def _hand_over(self, item: T | _Mark) -> None:
        with suppress(RuntimeError):  # the loop is closed: the caller has stopped
            self._loop.call_soon_threadsafe(self._in.put_nowait, item)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._serve())
        self._out.put(_Mark.END)

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        try:
            async with self._session() as work:
                await asyncio.gather(*(self._worker(work) for _ in range(self._limit)))
        except Exception as error:
            self._out.put(error)

    async def _worker(self, work: Callable[[T], Awaitable[R]]) -> None:
        while (item := await self._in.get()) is not _Mark.END and not self._stopping.is_set():
            try:
                self._out.put(await work(item))
            except Exception as error:
                self._stopping.set()  # the caller is going to stop: nothing new is begun
                self._out.put(error)
        self._in.put_nowait(_Mark.END)  # the other workers end too
