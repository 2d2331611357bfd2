"""One cheap call of every endpoint before a sweep: a wrong key, model name or parameter is found here for a word.

The request is the one that the run will make (the same settings, the same path; of a guard, its way of asking), with a
text that asks for one word. Where a run asks through batches, its batches are listed: a deployment for batches answers
no single request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmsb.errors import MmsbError, ModelError
from mmsb.model.base import Engine
from mmsb.model.endpoints import Endpoints
from mmsb.model.openai import OpenAI
from mmsb.store import Shelf
from mmsb.types import Failure, How, Prompt

WORD = Prompt("Reply with the word OK.")
SECONDS = 60.0  # for the reply: a server may have to load the model first
BETWEEN = 2.0  # seconds that may lie between two tries
TWICE = 30.0  # of one that is late within less, another is waited for
SHORT = 64  # tokens of a guard's reply here; one that thinks may take minutes for thousands
BUSY = ("rate_limit", "http_503", "http_529")  # it is there, and that is all that was asked


def probe(engines: Sequence[OpenAI], ways: Mapping[str, How]) -> dict[str, MmsbError | None]:
    """Ask every endpoint for a word, all at once; by `repr` of the engine what keeps it from answering.

    Args:
        engines: whom to ask.
        ways: how guards ask them, by `repr`. Many have no chat template, and answer at /completions alone.
    """
    distinct = {repr(engine): engine for engine in engines}
    asked = [(engine, replace(WORD, how=_brief(ways.get(name)))) for name, engine in distinct.items()]
    found = asyncio.run(_all(asked)) if distinct else []
    return dict(zip(distinct, found, strict=True))


def _brief(how: How | None) -> How | None:
    return how and replace(how, max_tokens=min(how.max_tokens or SHORT, SHORT))


async def _all(asked: Sequence[tuple[OpenAI, Prompt]]) -> list[MmsbError | None]:
    # Nothing is left in output_dir by what may be refused: one word is within any limit that others keep there.
    with TemporaryDirectory() as folder:
        endpoints = Endpoints([engine for engine, _ in asked], _nowhere, Path(folder))
        try:
            return await asyncio.gather(*(_one(engine, word, endpoints) for engine, word in asked))
        finally:
            await endpoints.close()


def _nowhere(engine: Engine) -> Shelf:
    raise AssertionError("what a probe brings is kept nowhere")


async def _one(engine: OpenAI, word: Prompt, endpoints: Endpoints) -> MmsbError | None:
    seconds = min(SECONDS, engine.timeout)
    # A sweep that bears a late reply now and then should not end before it begins because this is one.
    patience = max(seconds, min(2 * seconds + BETWEEN, TWICE))
    asked = replace(engine, timeout=seconds, patience=min(patience, engine.patience))
    if engine.batch:
        return await _lists_batches(asked, endpoints)
    try:
        async with asked.session(endpoints) as ask:
            outcome = await ask(word)
    except ModelError as error:
        return error
    if isinstance(outcome, Failure) and outcome.cause not in BUSY:
        # Servers say it in many ways; the word is in all of them.
        lacking = bool(word.how and word.how.words) and "logprob" in outcome.message.lower()
        return ModelError(
            f"{engine.shown_url} answers nothing to {engine.name}: {outcome.cause}: {outcome.message}",
            "See that server's log; nothing was asked of it beyond one word."
            + (" judge.probabilities=false asks for no logprobs." if lacking else ""),
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
