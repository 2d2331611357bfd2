"""Many samples on their way through the stages of a run: opened as there is room, handed over as they finish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

from mmsb.flow import CURRENT, Flow, Unstored, finished
from mmsb.rounds import Block, Waiting

BLOCK = 512  # samples; what shares a round of a local model, and so a batch, lies in one
LOCAL_BLOCKS = 2  # that are open at a time: while one is answered, the next gets ready
TURN, PAUSE = 16, 63  # samples in one go before others get a turn; that are not tried, at most
TOGETHER_SECONDS = 0.05  # samples that finish within it are handed over together
Stage = Callable[[Any], Coroutine[Any, Any, Any]]
Begin = Callable[[list[Waiting]], None]  # a round of a local model


class Group:
    """A block of samples with its flows: one `Block` a stage, and how many samples are not finished."""

    def __init__(self, stages: int, last: Group | None, begin: Begin, moved: Callable[[int], None]) -> None:
        """Nothing belongs to it yet; `last` is the group before it."""
        before: Sequence[Block | None] = last.blocks if last else [None] * stages
        self.blocks: list[Block] = [Block(block, begin, moved) for block in before]
        self.open = 0

    @property
    def local(self) -> bool:
        """Whether it keeps a local model busy."""
        return self.open > 0 and any(block.local for block in self.blocks)

    def add(self) -> None:
        """One more sample: it is expected in every stage."""
        self.open += 1
        for block in self.blocks:
            block.expect()

    def full(self) -> None:
        """No more samples come."""
        for block in self.blocks:
            block.leave()


@dataclass
class AtOnce:
    """Whether following samples at once is worth a try: where much is missing in the store, it is work done twice.

    Attributes:
        row: samples that went well, one after the other.
    """

    row: int = 0
    _pause: int = 0
    _left: int = 0  # samples that are not tried

    def worth_it(self) -> bool:
        """Whether to try it with the next sample."""
        self._left -= 1
        return self._left < 0

    def failed(self) -> None:
        """It was none: the next tries come after twice as many samples."""
        self.row, self._pause = 0, min(PAUSE, 2 * self._pause + 1)
        self._left = self._pause

    def went_well(self) -> None:
        """It was one."""
        self.row, self._pause = self.row + 1, 0


class Pipeline:
    """One pass of items through stages, on the running event loop."""

    def __init__(
        self, items: Iterable[Any], stages: tuple[Stage, ...], room: int, begin: Begin, at_once: bool = False
    ) -> None:
        """Nothing is opened yet.

        Args:
            items: read as they are needed.
            stages: that each goes through.
            room: flows that may run at a time, beside those that wait for a local model.
            begin: a round of a local model.
            at_once: whether items are followed to their end in one go, where they wait for nothing.
        """
        self._at_once = AtOnce() if at_once else None
        self._items = iter(items)
        self._stages = stages
        self._room = room
        self._begin_round = begin
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[Any] = []
        self._error: BaseException | None = None
        self._groups: list[Group] = []
        self._running = 0
        self._news = asyncio.Event()  # for who takes the results
        self._over = asyncio.Event()  # nothing more comes
        self._space = asyncio.Event()  # for who opens new flows
        self._opener: asyncio.Task[None] | None = None
        self._opened = False  # all that there are

    async def some(self) -> bool:
        """Wait until samples are finished, which `take` then gives; False once there are no more.

        Raises:
            Exception: what a stage, an engine or reading the items raised.
        """
        if self._opener is None:
            self._opener = asyncio.create_task(self._open_all())
        while not (self._done or self._error or self._ended):
            await self._news.wait()
            self._news.clear()
        if not (self._error or self._ended):
            # Entering and leaving the loop costs more than a sample: results are handed over some at a time.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), TOGETHER_SECONDS)
        if self._error:
            raise self._error
        return bool(self._done)

    def take(self) -> list[Any]:
        """The samples that finished since."""
        # Not what `some` returns: asyncio.Runner has a finished coroutine's result written out (`repr`) to no end, when
        # it puts the handler of Ctrl-C back.
        done, self._done = self._done, []
        return done

    async def cancel(self) -> None:
        """Stop what is under way."""
        tasks = [task for task in (self._opener, *self._tasks) if task and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def fail(self, error: BaseException) -> None:
        """End with an error; the first one counts."""
        self._error = self._error or error
        self._tell()

    @property
    def _ended(self) -> bool:
        return self._opened and not self._tasks

    def _tell(self) -> None:
        self._news.set()
        if self._error or self._ended:
            self._over.set()

    async def _open_all(self) -> None:
        """Read the items and begin a flow for each, group after group."""
        group: Group | None = None
        try:
            for number, item in enumerate(self._items):
                if number % BLOCK == 0:
                    group = await self._next_group(group)
                assert group is not None
                if self._at_once and await self._ended_at_once(item, group, self._at_once):
                    continue
                while self._running >= self._room:
                    await self._more_space()
                self._start(item, group)
                # Others get a turn between two samples: reading a dataset that is all in the store would else keep
                # the loop, and its answers would pile up.
                await asyncio.sleep(0)
            if group:
                group.full()
        except Exception as error:
            self.fail(error)
        finally:
            self._opened = True
            self._tell()

    async def _ended_at_once(self, item: Any, group: Group, tries: AtOnce) -> bool:
        """Whether a sample came to its end without a task of its own, which takes longer than all that it then does."""
        if not tries.worth_it():
            return False
        flow = Flow(group.blocks[0], at_once=True)
        before = CURRENT.set(flow)
        try:
            for stage in self._stages:
                item = finished(stage(item))
        except (Unstored, Exception):  # an error too: where it is one, it is met again
            tries.failed()
            return False
        finally:
            CURRENT.reset(before)
        tries.went_well()
        self._done.append(item)
        if tries.row % TURN == 0:
            self._tell()
            await asyncio.sleep(0)
        return True

    async def _next_group(self, last: Group | None) -> Group:
        if last:
            last.full()
        # A block waits for its slowest flow: without a limit, faster blocks would pile up behind it, in memory.
        while sum(group.local for group in self._groups) >= LOCAL_BLOCKS:
            await self._more_space()
        self._groups = [group for group in self._groups if group.open]
        group = Group(len(self._stages), last, self._begin_round, self._moved)
        self._groups.append(group)
        return group

    async def _more_space(self) -> None:
        self._space.clear()
        await self._space.wait()

    def _start(self, item: Any, group: Group) -> None:
        group.add()
        self._running += 1
        flow = Flow(group.blocks[0])
        task = asyncio.create_task(self._drive(flow, item, group))
        flow.tasks.add(task)
        self._tasks.add(task)
        # The set keeps the task alive: the event loop itself holds only weak references.
        task.add_done_callback(self._ended_one)

    async def _drive(self, flow: Flow, item: Any, group: Group) -> None:
        """Send one item through all stages; it leaves a stage's block as soon as it is through."""
        CURRENT.set(flow)
        try:
            for stage, block in zip(self._stages, group.blocks, strict=True):
                flow.barrier = block
                item = await stage(item)
                block.leave()
            self._done.append(item)
        except Exception as error:
            self.fail(error)
        except asyncio.CancelledError:
            self.fail(RuntimeError("a flow was cancelled from within"))  # of no effect where the whole run is
            raise
        finally:
            group.open -= 1
            self._moved(-1)

    def _ended_one(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._tell()

    def _moved(self, by: int) -> None:
        self._running += by
        self._space.set()


def each(items: Iterable[Any], opened: AbstractAsyncContextManager[Stage], limit: int) -> Iterator[Any]:
    """Do the work of each item, `limit` at a time; give the results in the order they finish.

    Args:
        items: read as they are needed.
        opened: gives what does the work; it is left when all is done.
        limit: items at a time.

    Raises:
        Exception: the first one that reading or the work raised; what is under way is cancelled.
    """

    def no_rounds(calls: list[Waiting]) -> None:
        raise AssertionError("no local model can be asked here")

    with asyncio.Runner() as runner:
        open_until = AsyncExitStack()
        try:
            work = runner.run(open_until.enter_async_context(opened))
            pipeline = Pipeline(items, (work,), limit, no_rounds)
            open_until.push_async_callback(pipeline.cancel)
            while runner.run(pipeline.some()):
                yield from pipeline.take()
        finally:
            runner.run(open_until.aclose())
