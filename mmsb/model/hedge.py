"""A second request where the first takes long: whichever answers first counts, and both are paid for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mmsb.budget import BudgetReached
from mmsb.types import Response

if TYPE_CHECKING:
    from mmsb.model.endpoint import Endpoint
    from mmsb.model.route import Servers


async def hedged(
    ask: Callable[[Endpoint], Awaitable[Response]], first: Endpoint, servers: Servers, after: float
) -> Response:
    """The first answer, of one request or of two.

    Args:
        ask: makes one request.
        first: the server that the first one goes to; the second goes to another one that works, if there is one.
        servers: all.
        after: seconds after which the second is made, if there is a free place for it and money left.

    Raises:
        RequestError: neither brought one; what the first ran into.
    """
    started = time.monotonic()
    tasks: list[asyncio.Future[Response]] = [asyncio.ensure_future(ask(first))]
    try:
        await asyncio.wait(tasks, timeout=after)
        second = servers.another(first) or first
        # Only into a place that nobody wants: hedging must not take turns from prompts that were never asked.
        if tasks[0].done() or not (place := second.gate.spare()):
            return await tasks[0]
        async with place:
            try:
                second.begin()
            # No reason to end the run: the first request is paid for and still comes.
            except BudgetReached:
                return await tasks[0]
            tasks.append(asyncio.ensure_future(ask(second)))
            return twice(await _first_answer(tasks), time.monotonic() - started)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_answer(tasks: list[asyncio.Future[Response]]) -> Response:
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.exception() is None:
                return task.result()
    # The first one's: which of two errors came sooner is chance, and a run should say the same thing twice.
    return tasks[0].result()  # which raises


def twice(response: Response, seconds: float) -> Response:
    """What two requests cost: nobody says what the one that was given up took, and it had the same prompt."""
    counted = (response.input_tokens, response.output_tokens)
    given, came = (None if tokens is None else 2 * tokens for tokens in counted)
    return replace(response, calls=2, input_tokens=given, output_tokens=came, seconds=seconds)
