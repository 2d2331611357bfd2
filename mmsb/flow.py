"""Flows: defenses, judges and helpers as ordinary functions that ask and wait.

    answer = await ask(prompt)
    said, seen = await gather(ask.model(check, "check"), ask.model(caption, "caption"))

The driver (`mmsb.driver`) runs one flow for each sample, thousands at a time on one event loop. To know when a round of
a local model may begin it counts which flows can still go on by themselves. So a flow awaits only its `ask` and
`gather`: a call from a task that the driver does not know of is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from mmsb.errors import ConfigError
from mmsb.model.base import Engine
from mmsb.types import Failure, Outcome, Prompt, Response

T = TypeVar("T")
Asking = Callable[[Engine, Prompt], Coroutine[Any, Any, Outcome]]  # how judges ask their model


class Unanswered(Exception):
    """An ask that brought no answer: its outcome is a Failure, or a response that a content filter kept back.

    It ends the flow it is raised in, unless that catches it.
    """

    def __init__(self, outcome: Outcome) -> None:
        """Keep the outcome; the message is for a trace."""
        super().__init__(outcome.message if isinstance(outcome, Failure) else "a content filter kept the answer back")
        self.outcome = outcome


class Unstored(BaseException):
    """A flow that is followed at once asks for what is not in the store, or waits for something."""

    # No Exception: what a defense or a judge catches of its own must not take it for a failed call.


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a flow caused, of a model or a helper.

    Attributes:
        stage: "answer" or "judge": what the flow was about when it called.
        role: what it was for; None for the sample's own question.
        engine: the name of the model that was asked.
        prompt: what it was shown.
        outcome: what came back.
        started: seconds since the epoch.
        ended: likewise; for an answer from the store nearly the same.
        counted: whether a model was asked (a reading of an answer by rules is no call of a model).
    """

    stage: str
    role: str | None
    engine: str
    prompt: Prompt
    outcome: Outcome
    started: float
    ended: float
    counted: bool = True


class Barrier(Protocol):
    """What a flow tells about itself: a block of flows, see `mmsb.rounds`."""

    def parked(self) -> None:
        """The flow cannot go on until a local model has answered."""

    def resumed(self) -> None:
        """It can go on again."""


class Flow:
    """One sample on its way: how many of its tasks can go on by themselves, and the calls it has caused.

    Attributes:
        at_once: whether it is followed in its caller's task, as far as the store goes, and begins anew if that is not
            to its end.
    """

    __slots__ = ("at_once", "barrier", "busy", "calls", "stage", "tasks")

    def __init__(self, barrier: Barrier, at_once: bool = False) -> None:
        """A flow begins with one task, its own, that can go on."""
        self.at_once = at_once
        self.barrier = barrier
        self.busy = 1
        self.calls: list[Call] = []
        self.stage = "answer"
        self.tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    def current(cls) -> Flow:
        """The flow that is running.

        Raises:
            ConfigError: nothing that runs belongs to a flow, or it is a task of somebody else's making.
        """
        flow = CURRENT.get(None)
        # A context is copied into every new task, so that the variable alone would take a stranger's task for the
        # flow's.
        if flow is None or not (flow.at_once or asyncio.current_task() in flow.tasks):
            raise ConfigError(
                "a defense or a judge asked outside its flow, or from a task that the driver does not know",
                "await mmsb.flow.gather(...) in place of asyncio.gather and asyncio.create_task.",
            )
        return flow

    def park(self) -> None:
        """The running task waits for a local model."""
        self.busy -= 1
        if self.busy == 0:
            self.barrier.parked()

    def resume(self) -> None:
        """A task that waited for a local model goes on."""
        self.busy += 1
        if self.busy == 1:
            self.barrier.resumed()

    async def beside(self, works: list[Coroutine[Any, Any, T]]) -> list[T]:
        """Run each in a task of its own, the caller waiting: so nothing nested deepens the stack.

        The caller's share of `busy` passes to the tasks and comes back with the last of them.

        Raises:
            Exception: the first, in the order of `works`, after all have ended.
        """
        if self.at_once:
            return _one_by_one(works)
        left, kept = len(works), 0

        def ended(task: asyncio.Task[T]) -> None:
            nonlocal left, kept
            left -= 1
            self.tasks.discard(task)
            if left and _broken(task):
                kept += 1  # the caller is about to act on it
            elif left:
                self.park()

        tasks = [asyncio.create_task(work) for work in works]
        # The caller stops being busy and `left` tasks begin: counted before any runs, since with `busy` at nought for
        # a moment a round could begin too early.
        self.busy += left - 1
        for task in tasks:
            self.tasks.add(task)
            task.add_done_callback(ended)
        try:
            broken = await _settled(tasks)
        except asyncio.CancelledError:
            await _cancelled(tasks)
            raise
        finally:
            self.busy -= kept
        if broken:
            raise broken
        return [task.result() for task in tasks]


CURRENT: ContextVar[Flow] = ContextVar("mmsb-flow")


async def gather(*works: Coroutine[Any, Any, T]) -> list[T]:
    """Do all at once, and give their results in order. In place of `asyncio.gather`, which a flow must not use.

    Raises:
        Exception: the first, in the order given, that one of them raised.
    """
    return await Flow.current().beside(list(works)) if works else []


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing.

    Raises:
        Unstored: it waits; it was closed.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise Unstored


def _one_by_one(works: list[Coroutine[Any, Any, T]]) -> list[T]:
    results, unanswered = list[T](), None
    try:
        for work in works:
            try:
                results.append(finished(work))
            except Unanswered as error:
                unanswered = unanswered or error
    finally:
        for work in works:  # those that were not begun
            work.close()
    if unanswered:
        raise unanswered
    return results


async def _settled(tasks: list[asyncio.Task[T]]) -> BaseException | None:
    """Wait for all; where one meets a real error (not a missing answer) stop the others, and return it."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if _broken(task):
                # They are over before the error goes on: a flow must not end while its tasks can still ask.
                await _cancelled(list(pending))
                return asyncio.CancelledError() if task.cancelled() else task.exception()
    return None


async def _cancelled(tasks: list[asyncio.Task[T]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _broken(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or not isinstance(task.exception(), Unanswered | None)


def answered(outcome: Outcome) -> Response:
    """The response, where there is one.

    Raises:
        Unanswered: a failure, or kept back by a content filter.
    """
    if isinstance(outcome, Failure) or outcome.finish == "content_filter":
        raise Unanswered(outcome)
    return outcome
