"""How exactly limits are kept under every defense and judge, by what one server saw that target, judge and checks ask.

    python -m benchmarks.limits            requests at a time, frames on the stack, seconds from Ctrl-C to the end

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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import mmsb
from benchmarks.measure import ROOT, Figure, show
from mmsb.faults.replies import Messages, text_of
from mmsb.faults.server import ChatServer
from mmsb.model.openai import OpenAI

PLACES, RATE = 4, 20
WITHOUT = ("coca", "cider", "bluesuffix", "shieldlm", "none", "prompt")
OUTER = "careful_reading"  # one that goes around each of the others
DEFENSES = sorted({path.stem for path in (ROOT / "conf" / "defense").glob("*.yaml")} - set(WITHOUT))
JUDGES = ("refusal", "rubric", "graded", "llama_guard_4", "qwen3guard", "wildguard", "harmbench", "shieldgemma")


def reply(messages: Messages) -> str:
    """What lets defenses go on asking."""
    text = text_of(messages)
    return "Yes, it is." if "yes or no" in text.lower() else "safe" if "unsafe" in text else "Here are the steps."


def settings(url: str, folder: Path, defense: str | list[str], judge: str) -> dict[str, Any]:
    """All engines at one server, four requests at a time."""
    place: dict[str, Any] = {"base_url": url, "api_key_env": None, "name": "x"}
    found: dict[str, Any] = {f"model.{name}": value for name, value in place.items()}
    found |= {"output_dir": str(folder), "model.concurrency": PLACES, "model.requests_per_second": RATE}
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


def under(defense: str | list[str], judge: str, folder: Path) -> tuple[int, int, float, int]:
    """Most requests at a time, their number, the most in a second, and the deepest stack of ours where one is sent."""
    depths: list[int] = []
    request = OpenAI.request

    def looking(self: OpenAI, prompt: Any) -> bytes:
        depths.append(sum("/mmsb/" in frame.filename for frame in traceback.extract_stack()))
        return request(self, prompt)

    with serving() as (url, seen), mock.patch.object(OpenAI, "request", looking):
        values = settings(url, folder, defense, judge)
        if judge not in ("refusal", "rubric", "graded"):
            values["model@judge.model"] = "openai"
        mmsb.evaluate(**chosen(defense, judge), settings=values)
        at_a_time, times = seen()
        most = max(sum(start <= at < start + 1 for at in times) for start in times)
        return at_a_time, len(times), most, max(depths)


@contextmanager
def serving() -> Iterator[tuple[str, Callable[[], tuple[int, list[float]]]]]:
    """A server's URL, and what it saw: in a process of its own, as its clock would else stop while ours works."""
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
    """Defense by defense, then judge by judge."""
    with tempfile.TemporaryDirectory() as name:
        pairs = [("none", "refusal"), *((defense, "rubric") for defense in DEFENSES)]
        pairs += [("ecso", judge) for judge in JUDGES]
        for number, (defense, judge) in enumerate(pairs):
            most, requests, second, depth = under(defense, judge, Path(name, str(number)))
            what = f"{defense}, {judge} ({requests} requests)"
            yield Figure(f"{what}: at a time", most, f"of {PLACES}", f"<= {PLACES}")
            yield Figure(f"{what}: in a second", second, f"of {RATE}", f"<= {RATE}")
            if judge == "rubric" and defense != OUTER:
                nested = under([OUTER, defense], judge, Path(name, f"nested-{number}"))
                yield Figure(f"{OUTER} > {what}: frames more", nested[-1] - depth, "", "<= 1")
        for number, defense in enumerate(["none", *DEFENSES]):
            seconds = interrupted(defense, Path(name, f"ended-{number}"))
            yield Figure(f"{defense}: from Ctrl-C to the end", seconds, "s", "<= 1")


if __name__ == "__main__":
    sys.exit(not show(measure()))
