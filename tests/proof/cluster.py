"""A cluster of Ray for scenes that need one, whose processes can be killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

LOOK = 0.05  # seconds between looks at what runs
TOGETHER = 2  # replicas or runs at a time, on each node
NODE = "raylet"  # the process without which a node is none


@contextmanager
def cluster(dies: str) -> Iterator[dict[str, str]]:
    """One node, or two where one is to die, if anything of Ray is; and what a command needs to join it."""
    if not dies:
        yield {}
        return
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": TOGETHER, "include_dashboard": False})
    if dies == NODE:
        made.add_node(num_cpus=TOGETHER)
    try:
        yield {"RAY_ADDRESS": made.address}
    finally:
        made.shutdown()


class Killer:
    """Kills one process of our own cluster, `seconds` after it was made, or as soon as there is one."""

    def __init__(self, name: str, seconds: float) -> None:
        """`name`: how the process calls itself."""
        self._name, self._seconds = name, seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        self.killed = 0

    def end(self) -> int:
        """Wait no longer; how many were killed."""
        self._ended.set()
        self._thread.join()
        return self.killed

    def _wait(self) -> None:
        self._ended.wait(self._seconds)
        while not self._ended.wait(LOOK):
            for process in psutil.Process(os.getpid()).children(recursive=True):  # others may use Ray here as well
                try:
                    called = process.cmdline()
                except psutil.Error:
                    continue
                # Not the head: without it there is no cluster, and nothing to go on with.
                if called and Path(called[0]).name.startswith(self._name) and "--head" not in called:
                    process.kill()
                    self.killed += 1
                    return
