"""python -m tests.proof [share [scene]]: all attacks, or a share of them on one scene; prints what came of it.

Scenes are attacked two at a time, each in a process with a lab of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import suppress

from rich.console import Console
from rich.table import Table

from tests.proof.attack import Tally, attacked
from tests.proof.lab import compiler
from tests.proof.scenes import SCENES

AT_A_TIME = int(os.environ.get("PROOF_AT_A_TIME", "2"))
WHAT = (
    "kills",
    "of Ray's processes",
    "power cuts",
    "full or read-only disks",
    "jumping clocks",
    "vanishing folders",
    "starts at once",
)


def summary(tallies: list[Tally]) -> None:
    """A line for each scene, and the sums."""
    table = Table("scene", *WHAT, "wrong", "s", "s of CPU")
    for tally in tallies:
        counts = [str(tally.counts.get(name, "-")) for name in WHAT]
        table.add_row(tally.scene, *counts, str(len(tally.wrong)), f"{tally.seconds:.0f}", f"{tally.cpu:.0f}")
    sums = [str(sum(tally.counts.get(name, 0) for tally in tallies)) for name in WHAT]
    wrong, spent = sum(len(tally.wrong) for tally in tallies), sum(tally.cpu for tally in tallies)
    table.add_row("all", *sums, str(wrong), "", f"{spent:.0f}")
    Console(width=160).print(table)


def main() -> int:
    """Attack, and print what came of it."""
    if compiler() is None:
        print("error: no C compiler\n  try: Install cc: the shim that breaks things is compiled when it is wanted.")
        return 1
    share, only = float((sys.argv[1:] or ["1"])[0]), " ".join(sys.argv[2:])
    numbers = [number for number, scene in enumerate(SCENES) if only in ("", scene.name)]
    if not numbers:
        print(f"error: no scene is called {only!r}\n  try: {', '.join(scene.name for scene in SCENES)}")
        return 1
    began, tallies = time.monotonic(), dict[int, Tally]()
    with ProcessPoolExecutor(AT_A_TIME, multiprocessing.get_context("spawn")) as pool:
        begun: dict[Future[Tally], int] = {pool.submit(attacked, number, share): number for number in numbers}
        with suppress(KeyboardInterrupt):
            for done in as_completed(begun):
                tally = tallies[begun[done]] = done.result()
                told = ", ".join(f"{count} {what}" for what, count in tally.counts.items())
                print(f"{tally.scene}: {told}; {len(tally.wrong)} wrong; {tally.seconds:.0f} s", flush=True)
                for line in tally.wrong:
                    print(f"  WRONG {line}", flush=True)
    summary([tallies[number] for number in numbers if number in tallies])
    wrong = sum(len(tally.wrong) for tally in tallies.values())
    kills = sum(tally.counts.get("kills", 0) for tally in tallies.values())
    spent = time.monotonic() - began
    print(f"{kills} kills in all, {wrong} wrong, {len(tallies)} of {len(numbers)} scenes, {spent:.0f} s")
    return int(wrong > 0 or len(tallies) < len(numbers))


if __name__ == "__main__":
    sys.exit(main())
