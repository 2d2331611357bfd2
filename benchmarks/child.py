"""One command, with everything that it starts: what it took, as one line of JSON in a file.

    python -m benchmarks.child <file> <program> <argument> ...

A process whose parent ends comes here (Linux), so that none is left out: a judge's processes are children of a server
of processes that outlives who asked it.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(file: str, *command: str) -> None:
    """Run the command to the end of all its processes."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = [usage.ru_utime + usage.ru_stime]
    try:
        while True:
            _, _, other = os.wait4(-1, 0)
            cpu.append(other.ru_utime + other.ru_stime)
    except ChildProcessError:
        pass
    took = {"code": process.returncode, "seconds": seconds, "cpu_seconds": sum(cpu), "own_cpu_seconds": cpu[0]}
    Path(file).write_text(json.dumps({**took, "megabytes": usage.ru_maxrss / 1024}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
