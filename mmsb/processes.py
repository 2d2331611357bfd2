"""Work in processes of its own: on all cores, or beside a thread that is busy with something else.

The processes leave an interruption (Ctrl-C) to the one that began them, and end when it ends, however it ends.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 16  # items that a process takes at a time
LOCAL_MODELS = "mmsb-local"  # the thread in which local models run


def on_all_cores(work: Callable[[T], R], items: Sequence[T], workers: int | None = None) -> Iterator[R]:
    """Do the work of each item in `workers` processes (None: one a core); results in the items' order, as they come."""
    count = min(workers or cores(), -(-len(items) // CHUNK))
    if count <= 1:
        yield from map(work, items)
        return
    with processes(count) as pool:
        yield from pool.map(work, items, chunksize=CHUNK)


def processes(count: int, *modules: str) -> ProcessPoolExecutor:
    """A pool of at most `count` processes; they start when there is work, which needs these modules."""
    context = multiprocessing.get_context(_start_method())
    # Imported once by the server that forks them, and not by each: that takes a third of a second. Of no effect where
    # there is no such server, or it runs already.
    context.set_forkserver_preload(["__main__", *modules])
    return ProcessPoolExecutor(count, context, _begin)


def end_at_once(code: int) -> None:
    """End this process now if a local model is in the middle of a batch, which nothing else interrupts.

    Every answer that was given is on the disk by then: the store writes a line the moment there is one.
    """
    if any(thread.name == LOCAL_MODELS for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


_codes: list[int] = []  # of this process, once it is to end without being taken apart


def end_quickly(code: int) -> None:
    """Have this process end right after what libraries do at its end: taking an interpreter apart takes a second.

    That is what remains of an interrupted command, all files of which are written and closed by then.
    """
    _codes.append(code)


def ends_quickly() -> bool:
    """Whether this process is to end so: what would be waited for has to end by itself."""
    return bool(_codes)


@atexit.register  # early, and the first that is registered runs last
def _end() -> None:
    if _codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_codes[0])


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_method() -> str:
    """A fork starts at once, but may hang in a process that has threads: those of torch, or our own."""
    # A new interpreter takes seconds, most of them for imports that a fork has already.
    methods = multiprocessing.get_all_start_methods()
    if "fork" in methods and sys.platform == "linux" and threading.active_count() == 1 and "torch" not in sys.modules:
        return "fork"
    return "forkserver" if "forkserver" in methods else "spawn"


def _begin() -> None:
    """Set up a process of a pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a fork has what its parent made of it; a pool ends its own by it
    threading.Thread(target=_end_with_parent, name="mmsb-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    # A parent that was killed tells nobody; its end is seen by the pipe that closes with it.
    parent.join()
    os._exit(1)
