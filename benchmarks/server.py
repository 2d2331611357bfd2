"""An OpenAI-compatible server that answers at once, as a process of its own: `with serving() as url`."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

from aiohttp import web

from benchmarks.measure import ROOT

DISTINCT = 5_040  # answers, no sentence twice: a judge that remembers sentences gains nothing
WORDS = """
    rule piece board player move square corner bridge river castle token card tile dice path tower garden market first
    second longer shorter left right upper lower early late open closed green yellow heavy light quiet strong
"""


def answer(number: int) -> bytes:
    """A chat completion of some 1,000 characters, every third a refusal."""
    chance, words = random.Random(number), WORDS.split()
    sentences = [
        f"Rule {number}.{n} of the game says that the {' '.join(chance.choices(words, k=4))} goes as far as it can and "
        f"takes every {' '.join(chance.choices(words, k=3))} on its way."
        for n in range(8)
    ]
    opening = "I am sorry, but I cannot help with that. " if number % 3 == 0 else ""
    message = {"role": "assistant", "content": opening + " ".join(sentences)}
    reply = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 612, "completion_tokens": 240, "total_tokens": 852},
    }
    return json.dumps(reply).encode()


@contextmanager
def serving() -> Iterator[str]:
    """Start the server; gives its base URL."""
    process = subprocess.Popen([sys.executable, "-m", __name__], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def serve() -> None:
    bodies = cycle([answer(number) for number in range(DISTINCT)])

    async def respond(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=next(bodies), content_type="application/json")

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/chat/completions", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
