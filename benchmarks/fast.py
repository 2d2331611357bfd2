"""How fast the tool is beside what it could cost at least; exit code 1 where a bar is missed.

    python -m benchmarks.fast

Whole processes, one after the other, against one server that answers at once. On a machine that others use too,
processor time tells more than the clock: both are shown, and the load beside them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.data import write_dataset
from benchmarks.endpoint import CONCURRENCY, SAMPLES, main_job
from benchmarks.measure import Figure, run, show
from benchmarks.server import serving

ANSWERS, FILES = 1_000_000, 5_000
OPENED = """
import resource, sys, time
from pathlib import Path
from mmsb.store import Shelf
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
started = time.perf_counter()
shelf = Shelf(Path(sys.argv[1]), {})
print(time.perf_counter() - started)
assert len(shelf) == int(sys.argv[2])
"""


def measure() -> Iterator[Figure]:
    """The bars, one after the other."""
    yield from endpoint()
    yield from store()
    yield Figure("load of the machine, on average over the last minute", os.getloadavg()[0], "")


def endpoint() -> Iterator[Figure]:
    """Asking an endpoint beside the bare client, and the same run once more."""
    with tempfile.TemporaryDirectory() as name, serving() as url:
        folder = Path(name)
        data = write_dataset(folder / "data", SAMPLES)
        bare = run(["-m", "benchmarks.bare", url, str(data), str(CONCURRENCY)], folder)
        job = main_job(url, data, folder)
        again = main_job(url, data, folder)
        yield Figure("main job / bare client, by the clock", bare.seconds / job.seconds, "", ">= 1.1")
        own = bare.cpu_seconds / job.own_cpu_seconds
        yield Figure("main job / bare client, by processor time of the process that asks", own, "", ">= 1.1")
        yield Figure("the same, its judge's processes included", bare.cpu_seconds / job.cpu_seconds, "")
        yield Figure(f"peak memory, {SAMPLES:,} samples", job.megabytes, "MB", "<= 112")
        yield Figure(f"{SAMPLES:,} finished samples, run again", again.seconds, "s", "<= 2.5")
        yield Figure("the same, processor time", again.cpu_seconds, "s")


def store() -> Iterator[Figure]:
    """Opening a store of a million answers in thousands of files, with few files open at a time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shelf"
        folder.mkdir()
        value = b'{"text":"%s","finish":"stop"}' % (b"An answer. " * 20)
        crc, each = zlib.crc32(value), ANSWERS // FILES
        for file in range(FILES):
            keys = range(file * each, (file + 1) * each)
            lines = (b'{"key":"%032x","crc":"%08x","value":%s}\n' % (key, crc, value) for key in keys)
            (folder / f"{file:05}.jsonl").write_bytes(b"".join(lines))
        time.sleep(1)
        opened = run(["-c", OPENED, str(folder), str(ANSWERS)], Path(name))
        yield Figure(f"a store of {ANSWERS:,} answers in {FILES:,} files opened", float(opened.output), "s", "<= 5")
        yield Figure("its memory, Python and libraries included", opened.megabytes, "MB", "<= 500")


if __name__ == "__main__":
    sys.exit(not show(measure()))
