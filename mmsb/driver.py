"""The driver: runs the flows of all samples on one event loop, and makes every call they ask for.

    samples -> stage -> stage -> results            e.g. answer, then judge
       call -> in the store? -> given back
            -> an endpoint   -> at once: one client and one limit for each endpoint, whoever asks
            -> a local model -> in a round: a block of samples at a time (see `mmsb.rounds`)

A bounded number of samples is open at a time (see `mmsb.pipeline`), so that memory stays flat however many there are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, nullcontext
from types import TracebackType
from typing import Any, cast

from mmsb.budget import BudgetReached, Purse
from mmsb.errors import StoreError
from mmsb.flow import Call, Flow, Unstored
from mmsb.model.base import Batched, Engine, Live
from mmsb.model.endpoints import FOLDER as ENDPOINTS
from mmsb.model.endpoints import Endpoints
from mmsb.pipeline import Pipeline, Stage
from mmsb.rounds import Block, Worker
from mmsb.store import Shelf, Store
from mmsb.types import Outcome, Prompt, Response

SPARE = 64  # flows that run beside those that wait for an endpoint
Session = Callable[[Prompt], Awaitable[Outcome]]


class Driver:
    """Asks engines in the name of flows; lives as long as one run.

    Attributes:
        store: every answer that comes is written down there before a flow sees it.
    """

    def __init__(
        self,
        store: Store,
        engines: Iterable[Engine] = (),
        purse: Purse | None = None,
        count: Callable[[str, Outcome], None] = lambda model, outcome: None,
    ) -> None:
        """Name all engines that will be asked: those at one endpoint share its strictest limit from the start.

        Args:
            store: of all answers.
            engines: that will be asked.
            purse: pays for every call; None where nothing limits them.
            count: told of every call that a model answered or failed now: not of what the store had.
        """
        self.store = store
        self._purse = purse
        self._count = count
        begin = purse.begin if purse else lambda: None
        folder = store.root / ENDPOINTS
        self._endpoints = Endpoints(engines, store.shelf, folder, begin, lambda: self._worker.rounds > 0, self._pay)
        self._out = 0  # calls of endpoints that have not come back
        self._back = asyncio.Event()
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._sessions: dict[str, Session] = {}
        self._opening = asyncio.Lock()
        self._under_way: dict[tuple[str, str], asyncio.Future[Outcome]] = {}
        self._pipelines: list[Pipeline] = []
        self._worker = Worker(store, self._runner.get_loop(), self._fail, purse.begin if purse else None, count)
        self._asked = 0

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The thread stops first: a round that ends now would wake flows that are being cancelled.
        self._worker.stop(wait=kind is None or issubclass(kind, Exception))
        # A copy, since cancelling takes a pipeline out of the list. Flows go before the clients that they wait for.
        for pipeline in list(self._pipelines):
            self._cancel(pipeline)
        self._runner.run(self._close())
        self._runner.close()

    @property
    def asked(self) -> int:
        """How many prompts went to a model because they were not in the store."""
        return self._asked + self._worker.asked

    def run(
        self, items: Iterable[Any], *stages: Stage, at_once: bool = False, waits: Callable[[], None] = lambda: None
    ) -> Iterator[Any]:
        """Send each item through the stages; give what the last one returns, in the order they finish.

        Args:
            items: read as they are needed.
            stages: coroutine functions that ask through `call`; each is given what the one before returned.
            at_once: whether an item all of whose answers are in the store is followed to its end in one go. If it is
                not, its stages begin anew: they must change nothing before their last call.
            waits: called when all that is finished was given, before more is waited for.

        Raises:
            Exception: the first one that reading, a stage or an engine raised; what is under way is cancelled.
        """
        room = SPARE + 2 * self._endpoints.at_a_time  # enough that no endpoint waits for a flow
        pipeline = Pipeline(items, stages, room, self._worker.begin, at_once)
        self._pipelines.append(pipeline)
        try:
            while self._runner.run(pipeline.some()):
                yield from pipeline.take()
                waits()
        finally:
            self._cancel(pipeline)

    async def call(self, engine: Engine, prompt: Prompt, role: str | None = None) -> Outcome:
        """Ask an engine, in the name of the running flow.

        Args:
            engine: a model, or a helper.
            prompt: what it is shown.
            role: what for, for the record.

        Raises:
            ModelError: the model cannot be loaded or reached at all.
            ConfigError: not called from a flow.
        """
        flow, started, counted = Flow.current(), time.time(), getattr(engine, "is_model", True)
        shelf = self.store.shelf(engine)
        if flow.at_once:
            stored = None if shelf.batched else shelf.find(prompt.key)
            if stored is None:
                raise Unstored
            outcome: Outcome = stored
        elif shelf.batched:
            # A store's hit is no short cut here: whether a call counts for its round must not depend on what was
            # stored, or a resumed run would form other batches than an uninterrupted one.
            assert isinstance(flow.barrier, Block)
            outcome = await flow.barrier.ask(flow, cast("Batched", engine), prompt)
        else:
            outcome = shelf.find(prompt.key) or await self._once(engine, shelf, prompt, counted)
        flow.calls.append(Call(flow.stage, role, engine.name, prompt, outcome, started, time.time(), counted))
        return outcome

    async def _once(self, engine: Engine, shelf: Shelf, prompt: Prompt, counted: bool) -> Outcome:
        """Ask a live engine. Who asks the same meanwhile waits for the same answer."""
        key = (shelf.folder.name, prompt.key)
        while same := self._under_way.get(key):
            try:
                # Shielded, so that cancelling one who waits does not take the answer from the others.
                return await asyncio.shield(same)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not same.cancelled() or (task and task.cancelling()):
                    raise  # it is this flow that was cancelled, not the one that asked
        self._under_way[key] = reply = asyncio.get_running_loop().create_future()
        try:
            # Of batches one process at a time has the ledger; and reading by rules is done sooner than waited for.
            batch = getattr(engine, "batch", False)
            alone = shelf.claim(prompt.key) if counted and not batch else nullcontext()
            async with alone:
                if batch:  # it takes the ledger, and then knows what its last holder stored
                    await self._session(engine, shelf)
                outcome: Outcome | None = shelf.find(prompt.key)
                if outcome is None:
                    outcome = await self._asked_now(engine, shelf, prompt)
                    self._asked += counted
                    if isinstance(outcome, Response):
                        # What is given on is what the store holds: a later run reads exactly this, cleaned of halves
                        # of characters, or the first of two answers.
                        outcome = shelf.add(prompt.key, outcome)
                    if counted:
                        self._pay(engine.name, outcome)
        except BaseException as error:
            if isinstance(error, StoreError):
                self._endpoints.stop(error)
            if isinstance(error, Exception):
                reply.set_exception(error)
                reply.exception()  # perhaps nobody else waits for it
            else:
                reply.cancel()
            raise
        finally:
            del self._under_way[key]
        reply.set_result(outcome)
        return outcome

    def _pay(self, model: str, outcome: Outcome) -> None:
        self._count(model, outcome)
        if self._purse:
            self._purse.pay(model, outcome)

    async def _asked_now(self, engine: Engine, shelf: Shelf, prompt: Prompt) -> Outcome:
        """Ask. Where the budget is spent, what is under way is waited for first: it will be paid, so it is kept."""
        self._out += 1
        try:
            outcome = await (await self._session(engine, shelf))(prompt)
        except BudgetReached:
            self._returned()
            while self._out:
                self._back.clear()
                await self._back.wait()
            raise
        except BaseException:
            self._returned()
            raise
        self._returned()
        return outcome

    def _returned(self) -> None:
        self._out -= 1
        self._back.set()

    async def _session(self, engine: Engine, shelf: Shelf) -> Session:
        """What asks the engine; opened once, which may take minutes where a server starts."""
        name = shelf.folder.name
        if name in self._sessions:
            return self._sessions[name]
        # One at a time: two flows that ask first would both start a server, or load a client twice.
        async with self._opening:
            if name not in self._sessions:
                assert isinstance(engine, Live), f"{engine.name} is neither a batched nor a live engine"
                self._sessions[name] = await self._open.enter_async_context(engine.session(self._endpoints))
            return self._sessions[name]

    async def _close(self) -> None:
        await self._open.aclose()
        await self._endpoints.close()

    def _fail(self, error: BaseException) -> None:
        for pipeline in self._pipelines:
            pipeline.fail(error)

    def _cancel(self, pipeline: Pipeline) -> None:
        if pipeline in self._pipelines:
            self._pipelines.remove(pipeline)
            self._runner.run(pipeline.cancel())
