"""How exactly limits are kept under every defense and judge, by what one server saw that target, judge and checks ask.

    python -m benchmarks.limits

Requests at a time and in a second under each pair of a defense and a judge, and the worst of these; frames on the
stack; seconds from Ctrl-C to the end.

What needs weights or files of its makers is left out by name: coca, cider, bluesuffix, shieldlm.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import mmsb
from benchmarks.measure import ROOT, Figure, show
from mmsb.faults.replies import Messages, text_of
from mmsb.faults.server import ChatServer
from mmsb.model.openai import OpenAI

OURS = f"{Path(mmsb.__file__).parent}/"
PLACES, RATE = 4, 20
SAMPLES = 4  # of each of three scenarios
WITHOUT = ("coca", "cider", "bluesuffix", "shieldlm", "none", "prompt")
OUTER = "careful_reading"  # one that goes around each of the others
DEFENSES = sorted({path.stem for path in (ROOT / "conf" / "defense").glob("*.yaml")} - set(WITHOUT))
Served = tuple[str, Callable[[], tuple[int, list[float]]]]
JUDGES = ("refusal", "rubric", "graded", "llama_guard_4", "qwen3guard", "wildguard", "harmbench", "shieldgemma")


def reply(messages: Messages) -> str:
    """What lets defenses go on asking."""
    text = text_of(messages)
    return "Yes, it is." if "yes or no" in text.lower() else "safe" if "unsafe" in text else "Here are the steps."


def settings(url: str, folder: Path, defense: str | list[str], judge: str) -> dict[str, Any]:
    """All engines at one server, four requests at a time."""
    place: dict[str, Any] = {"base_url": url, "api_key_env": None, "name": "x"}
    found: dict[str, Any] = {f"model.{name}": value for name, value in place.items()}
    found |= {
        "output_dir": str(folder),
        "dataset.limit": SAMPLES,
        "model.concurrency": PLACES,
        "model.requests_per_second": RATE,
    }
    if judge != "refusal":
        found |= {f"judge.model.{name}": value for name, value in place.items()}
    if "eta" in defense:
        found["model.temperature"] = 0.7  # its sentences must differ
    return found


def chosen(defense: str | list[str], judge: str) -> dict[str, Any]:
    """The options of a run of few samples."""
    return {
        "dataset": "demo",
        "scenario": ["fraud", "sex", "hate_speech"],
        "image_mode": "typo",
        "model": "openai",
        "judge": judge,
        "defense": defense,
        "tracker": "none",
    }


class Seen(NamedTuple):
    """Most requests at a time, their number, the most in a second, and the deepest stack of ours where one is sent."""

    at_a_time: int
    requests: int
    in_a_second: int
    depth: int


def under(server: Served, defense: str | list[str], judge: str, folder: Path) -> Seen:
    """One run, by what the server saw of it."""
    depths: list[int] = []
    request = OpenAI.request

    def looking(self: OpenAI, prompt: Any) -> bytes:
        depths.append(sum(frame.filename.startswith(OURS) for frame in traceback.extract_stack()))
        return request(self, prompt)

    url, seen = server
    with mock.patch.object(OpenAI, "request", looking):
        values = settings(url, folder, defense, judge)
        if judge not in ("refusal", "rubric", "graded"):
            values["model@judge.model"] = "openai"
        mmsb.evaluate(**chosen(defense, judge), settings=values)
        at_a_time, times = seen()
        most = max(sum(start <= at < start + 1 for at in times) for start in times)
        return Seen(at_a_time, len(times), most, max(depths))


@contextmanager
def serving() -> Iterator[Served]:
    """A server's URL, and what it saw since it was asked that last.

    It is a process of its own, as its clock would else stop while ours works.
    """
    processes = multiprocessing.get_context("spawn")
    ours, its = processes.Pipe()
    process = processes.Process(target=serve, args=(its,))
    process.start()

    def seen() -> tuple[int, list[float]]:
        ours.send(None)
        most, times = ours.recv()
        return most, times

    try:
        yield ours.recv(), seen
    finally:
        process.terminate()
        process.join()


def serve(pipe: Connection) -> None:
    """Answer, and tell what was seen when asked for it."""
    with ChatServer(reply, delay=0.15) as server:
        pipe.send(server.url)
        while True:
            pipe.recv()
            pipe.send((server.most, sorted(server.times)))
            server.most, server.times = 0, []


def interrupted(defense: str, folder: Path) -> float:
    """Seconds from Ctrl-C to the end of the command, in the middle of its requests."""
    with ChatServer(reply, delay=0.5) as server:
        options = [f"{group}={value}" for group, value in chosen(defense, "refusal").items() if group != "scenario"]
        values = [
            f"{name}={'null' if value is None else value}"
            for name, value in settings(server.url, folder, defense, "refusal").items()
        ]
        command = [sys.executable, "-m", "mmsb", *options, *values]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(server.requests) < 8 and process.poll() is None:
            time.sleep(0.02)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        assert code == 130, f"{defense} ended with {code}"
        return time.monotonic() - began


def measure() -> Iterator[Figure]:
    """Every defense under every judge, then each defense inside another one, then Ctrl-C."""
    with tempfile.TemporaryDirectory() as name, serving() as server:
        pairs = {}
        for defense, judge in product(DEFENSES, JUDGES):
            pairs[defense, judge] = found = under(server, defense, judge, Path(name, f"{defense}-{judge}"))
            print(
                f"{defense}, {judge}: {found.requests} requests, {found.at_a_time} at a time, ", end="", file=sys.stderr
            )
            print(f"{found.in_a_second} in a second", file=sys.stderr)
        yield from worst(pairs)
        for defense in (one for one in DEFENSES if one != OUTER):
            nested = under(server, [OUTER, defense], "rubric", Path(name, f"nested-{defense}"))
            more = nested.depth - pairs[defense, "rubric"].depth
            yield Figure(f"{OUTER} > {defense}: frames more", more, "", "<= 1")
        for number, defense in enumerate(["none", *DEFENSES]):
            seconds = interrupted(defense, Path(name, f"ended-{number}"))
            yield Figure(f"{defense}: from Ctrl-C to the end", seconds, "s", "<= 1")


def worst(pairs: dict[tuple[str, str], Seen]) -> Iterator[Figure]:
    """The pairs that came nearest to a limit, or went over it, and how many did."""
    yield Figure("pairs of a defense and a judge", len(pairs), "", f">= {len(DEFENSES) * len(JUDGES)}")
    yield Figure("requests of all", sum(seen.requests for seen in pairs.values()), "")
    for what, place, limit in (("at a time", 0, PLACES), ("in a second", 2, RATE)):
        pair = max(pairs, key=lambda one: pairs[one][place])
        yield Figure(f"most {what}: {', '.join(pair)}", pairs[pair][place], f"of {limit}", f"<= {limit}")
        over = sum(seen[place] > limit for seen in pairs.values())
        yield Figure(f"pairs with more {what}", over, "", "<= 0")


if __name__ == "__main__":
    sys.exit(not show(measure()))
