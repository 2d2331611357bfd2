"""Rounds of local models: who is asked together, as a fixed function of the samples.

Answers in half precision depend on the batch they are computed in. So samples are taken in blocks of fixed size, and a
block's calls of local models wait until none of its flows can go on without one (nothing running, nothing in flight at
an endpoint): these calls are a round. What is in a round, and so in a batch, is then the same whatever the timing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

from mmsb.budget import BudgetReached
from mmsb.flow import Flow
from mmsb.model.base import Batch, Batched
from mmsb.processes import LOCAL_MODELS
from mmsb.store import Shelf, Store
from mmsb.types import Outcome, Prompt, Response


@dataclass(eq=False, slots=True)
class Waiting:
    """A call of a local model that waits for its round."""

    block: Block
    flow: Flow
    engine: Batched
    prompt: Prompt
    reply: asyncio.Future[Outcome]

    def settle(self, outcome: Outcome) -> None:
        """Give the flow its reply; it can go on from now, not only from when it is scheduled."""
        if not self.reply.done():  # cancelled meanwhile, and counted back by who was cancelled
            self.flow.resume()
            self.reply.set_result(outcome)
        self.block.settled()


class Block:
    """The flows of a block of samples, in one stage of their way.

    `busy` counts those that can go on, those that have yet to arrive from the stage before, and one more until the
    block is full. A block's rounds come after all rounds of the block before it: where two rounds ask the same, the
    first answer counts for both, and which is the first must not depend on timing.
    """

    def __init__(
        self, before: Block | None, begin: Callable[[list[Waiting]], None], moved: Callable[[int], None]
    ) -> None:
        """`begin` starts a round; `moved` is told +1 or -1 as flows go on or stop."""
        self.busy = 1
        self.waiting: list[Waiting] = []
        self.local = False  # whether a local model was ever asked
        self._inside = 1
        self._asked = 0  # calls of the round that is under way
        self._begin = begin
        self._moved = moved
        self._next: Block | None = None
        self._first = before is None or before._inside == 0
        if before:
            before._next = self

    def expect(self) -> None:
        """One more flow belongs to the block."""
        self.busy += 1
        self._inside += 1

    def leave(self) -> None:
        """A flow that could go on is through with this stage (or the block is full)."""
        self._inside -= 1
        self._stop()
        if self._inside == 0 and self._next:
            self._next._first = True
            self._next._begin_if_quiet()

    def parked(self) -> None:
        """A flow waits for a local model."""
        self._moved(-1)
        self._stop()

    def resumed(self) -> None:
        """It goes on."""
        self._moved(1)
        self.busy += 1

    def settled(self) -> None:
        """A call of the round has its reply."""
        self._asked -= 1
        self._begin_if_quiet()

    def _stop(self) -> None:
        self.busy -= 1
        self._begin_if_quiet()

    def _begin_if_quiet(self) -> None:
        # Replies that are outstanding count as much as flows that run: between two replies of a round all others may
        # be parked, and a round begun there would be cut in two by timing.
        if self._first and self.busy == 0 and self._asked == 0 and self.waiting:
            # Taken at once: flows that go on while the round runs ask for the next one.
            calls, self.waiting, self._asked = self.waiting, [], len(self.waiting)
            self._begin(calls)

    async def ask(self, flow: Flow, engine: Batched, prompt: Prompt) -> Outcome:
        """Wait for the round and its reply."""
        call = Waiting(self, flow, engine, prompt, asyncio.get_running_loop().create_future())
        self.local = True
        self.waiting.append(call)
        flow.park()
        try:
            return await call.reply
        except asyncio.CancelledError:
            if call.reply.cancelled():  # else it was settled, and the flow resumed, in the same moment
                flow.resume()
            if call in self.waiting:
                self.waiting.remove(call)
            raise


@dataclass
class Worker:
    """The thread in which local models run, round after round.

    Attributes:
        store: answers that are there already are not asked for again.
        loop: where the flows run.
        failed: told what made a model unusable.
        begin_batch: called with the number of prompts before a batch; raises where nothing more may be spent.
        count: told of every call, with the model's name.
        asked: how many prompts went to a model.
        rounds: that are under way, or wait.
    """

    store: Store
    loop: asyncio.AbstractEventLoop
    failed: Callable[[BaseException], None]
    begin_batch: Callable[[int], None] | None = None
    count: Callable[[str, Outcome], None] = field(default=lambda model, outcome: None)
    asked: int = 0
    rounds: int = 0
    _rounds: SimpleQueue[list[Waiting] | None] = field(default_factory=SimpleQueue)
    _stopping: bool = False
    _reached: BudgetReached | None = None
    _thread: threading.Thread | None = None

    def begin(self, calls: list[Waiting]) -> None:
        """Take a round; the rounds before it come first."""
        if self._thread is None:  # a daemon: whoever interrupts a run need not wait for a batch
            self._thread = threading.Thread(target=self._work, name=LOCAL_MODELS, daemon=True)
            self._thread.start()
        self.rounds += 1
        self._rounds.put(calls)

    def stop(self, wait: bool) -> None:
        """Begin no further batch; the thread ends with the one it is at.

        Args:
            wait: until it has ended: torch takes the end of the process in the middle of a batch badly. Who is
                interrupted does not wait (see `mmsb.processes.end_at_once`).
        """
        self._stopping = True
        self._rounds.put(None)
        if self._thread and wait:
            self._thread.join()

    def _work(self) -> None:
        while (calls := self._rounds.get()) is not None and not self._stopping:
            try:
                self._round(calls)
            except Exception as error:
                self._tell(self.failed, error)
            self._tell(self._ended)

    def _ended(self) -> None:
        self.rounds -= 1  # in the loop's thread, where they are counted, and after the round's replies

    def _round(self, calls: list[Waiting]) -> None:
        """One round: engine by engine, each distinct prompt once."""
        groups: defaultdict[str, defaultdict[str, list[Waiting]]] = defaultdict(lambda: defaultdict(list))
        for call in calls:
            groups[self.store.shelf(call.engine).folder.name][call.prompt.key].append(call)
        for _, group in sorted(groups.items()):
            engine = next(iter(group.values()))[0].engine
            self._ask(engine, self.store.shelf(engine), group)

    def _ask(self, engine: Batched, shelf: Shelf, group: dict[str, list[Waiting]]) -> None:
        """A batch with any answer missing is asked whole, so that it is the batch of an uninterrupted run."""
        plan = list(engine.batches(calls[0].prompt for calls in group.values()))
        missing = [batch for batch in plan if not all(prompt.key in shelf for prompt in batch)]
        asked = {prompt.key for batch in missing for prompt in batch}
        for key, calls in group.items():
            if key not in asked:
                self._tell(_settle, calls, shelf.get(key))
        if not missing:
            return  # nothing is loaded
        for prompt, outcome in engine.generate(self._counted(missing)):
            if isinstance(outcome, Response):
                outcome = shelf.add(prompt.key, outcome)
            self._tell(self.count, engine.name, outcome)
            self._tell(_settle, group[prompt.key], outcome)
        if self._reached:
            raise self._reached

    def _counted(self, batches: list[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if self._stopping:
                return
            try:
                if self.begin_batch:
                    self.begin_batch(len(batch))
            except BudgetReached as reached:  # said once the batch that is being answered now has its answers
                self._reached = reached
                return
            self.asked += len(batch)
            yield batch

    def _tell(self, what: Callable[..., None], *values: object) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(what, *values)


def _settle(calls: list[Waiting], outcome: Outcome) -> None:
    for call in calls:
        call.settle(outcome)
