"""What tests share to label a run: small runs, and the command in a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmsb.labels.answers import answers_of
from mmsb.labels.draw import draw
from tests.forks import Fork
from tests.saved_runs import row, save

HOSTILE = "first\x1b[2J\x1b]0;owned\x07\rsecond \u202eesrever\u2028 \x9b31m end"

JUDGED = {"record": {"judge": {"judge": "refusal"}}}


def write_run(folder: Path, labels: dict[str, list[str]], answer: str = "Answer") -> Path:
    """A run with these verdicts by scenario."""
    rows = [
        row(scenario, n, label, answer=f"{answer} {n}.")
        for scenario, given in labels.items()
        for n, label in enumerate(given)
    ]
    return save(folder, rows, **JUDGED)


def small_run(folder: Path) -> Path:
    """Five answers to judge, one of them hostile, one that failed and one to a harmless question."""
    rows = [row("fraud", n, "safe", answer=f"Answer {n}.") for n in range(5)]
    rows[3]["response"] = HOSTILE
    return save(
        folder / "run", [*rows, row("fraud", 5, "failed"), {**row("fraud", 6, "safe"), "benign": True}], **JUDGED
    )


@contextmanager
def terminal(run: Path, labels: Path, *further: str, **env: str) -> Iterator[tuple[Fork, Callable[[str], str], int]]:
    """The command in a pseudo-terminal, a function that reads until a text appears, and the terminal itself."""
    ours, theirs = pty.openpty()
    command = ["-m", "mmsb.review", f"run={run}", f"labels={labels}", "rater=ann", *further]
    process = Fork(command, run.parent, {**os.environ, **env}, dict.fromkeys(range(3), theirs))
    os.close(theirs)

    waiting = b""

    def until(wanted: str) -> str:
        """What comes up to the wanted text; the rest waits for the next call."""
        nonlocal waiting
        end = wanted.encode()
        while end not in waiting:
            assert select.select([ours], [], [], 60)[0], f"{wanted!r} did not come; seen: {waiting!r}"
            try:
                waiting += os.read(ours, 65536)
            except OSError:  # Linux: the other side was closed
                raise AssertionError(f"{wanted!r} did not come; seen: {waiting!r}") from None
        seen, _, waiting = waiting.partition(end)
        return (seen + end).decode()

    try:
        yield process, until, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def lines(labels: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in labels.read_bytes().split(b"\n")[:-1]]


def stored(labels: Path) -> list[tuple[str, str]]:
    return [(line["id"], line["label"]) for line in lines(labels) if "draw" not in line]


def order_of(run: Path) -> list[str]:
    return [item.rows[0] for item in draw([answers_of(run)], 200, "random", 0).items]
