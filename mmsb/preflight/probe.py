"""One cheap call of every endpoint before a sweep: a wrong key, model name or parameter is found here for a word.

The request is the one that the run will make (the same settings, the same path), with a text that asks for one word.
Where a run asks through batches, its batches are listed: a deployment for batches answers no single request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmsb.errors import MmsbError, ModelError
from mmsb.model.base import Engine
from mmsb.model.endpoints import Endpoints
from mmsb.model.openai import OpenAI
from mmsb.store import Shelf
from mmsb.types import Failure, Prompt

WORD = Prompt("Reply with the word OK.")
SECONDS = 60.0  # for the reply: a server may have to load the model first
BUSY = ("rate_limit", "http_503", "http_529")  # it is there, and that is all that was asked


def probe(engines: Sequence[OpenAI]) -> dict[str, MmsbError | None]:
    """Ask every endpoint for a word, all at once; by `repr` of the engine what keeps it from answering."""
    distinct = {repr(engine): engine for engine in engines}
    found = asyncio.run(_all(list(distinct.values()))) if distinct else []
    return dict(zip(distinct, found, strict=True))


async def _all(engines: list[OpenAI]) -> list[MmsbError | None]:
    # Nothing is left in output_dir by what may be refused: one word is within any limit that others keep there.
    with TemporaryDirectory() as folder:
        endpoints = Endpoints(engines, _nowhere, Path(folder))
        try:
            return await asyncio.gather(*(_one(engine, endpoints) for engine in engines))
        finally:
            await endpoints.close()


def _nowhere(engine: Engine) -> Shelf:
    raise AssertionError("what a probe brings is kept nowhere")


async def _one(engine: OpenAI, endpoints: Endpoints) -> MmsbError | None:
    seconds = min(SECONDS, engine.timeout)
    asked = replace(engine, timeout=seconds, patience=min(seconds, engine.patience))
    if engine.batch:
        return await _lists_batches(asked, endpoints)
    try:
        async with asked.session(endpoints) as ask:
            outcome = await ask(WORD)
    except ModelError as error:
        return error
    if isinstance(outcome, Failure) and outcome.cause not in BUSY:
        return ModelError(
            f"{engine.shown_url} answers nothing to {engine.name}: {outcome.cause}: {outcome.message}",
            "See that server's log; nothing was asked of it beyond one word.",
        )
    return None


async def _lists_batches(engine: OpenAI, endpoints: Endpoints) -> MmsbError | None:
    from mmsb.model.batch_calls import BatchCalls

    calls = BatchCalls(engine, endpoints.of(engine)[0])
    try:
        await calls.patiently(calls.there, "nothing was submitted")
    except ModelError as error:
        return error
    finally:
        await calls.close()
    return None
